// Judges receipts with the code of @sigstore/verify, none of it ours. Standard input: JSON lines of
// {entry, index, path, note, origin, keyHash, key}, bytes in base64 and `key` as PEM; prints true or false for each.
import { createPublicKey } from "node:crypto";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const home = dirname(require.resolve("@sigstore/verify")); // its inner files are no exports
const { verifyCheckpoint } = require(join(home, "tlog/checkpoint.js"));
const { verifyMerkleInclusion } = require(join(home, "tlog/merkle.js"));

function holds(one) {
  const bytes = (text) => Buffer.from(text, "base64");
  const entry = {
    canonicalizedBody: bytes(one.entry),
    inclusionProof: { logIndex: one.index, hashes: one.path.map(bytes), checkpoint: { envelope: one.note } },
  };
  const log = { logID: bytes(one.keyHash), publicKey: createPublicKey(one.key), baseURL: one.origin };
  try {
    verifyMerkleInclusion(entry, verifyCheckpoint(entry, [log]));
    return true;
  } catch (error) {
    if (error.code !== "TLOG_INCLUSION_PROOF_ERROR") throw error;
    return false;
  }
}

for await (const line of createInterface({ input: process.stdin })) console.log(holds(JSON.parse(line)));
