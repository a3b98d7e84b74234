// Judges a mirror of the log with the Go checksum database's own code (golang.org/x/mod/sumdb), none of it ours.
//
//	judge FOLDER VKEY [PROOFS]
//
// Checks the newest and every kept checkpoint's signature, that the tiles and the entries lead to its root, that every
// entry is included and every kept checkpoint consistent, and the proofs in the file PROOFS, one a line:
// "record SIZE ROOT INDEX LEAF HASH..." or "tree SIZE ROOT OLDSIZE OLDROOT HASH...", hashes in base64.
// The layout of C2SP tlog-tiles differs from the checksum database's in two names only: see path.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(f.path(tile))
		if err != nil {
			return nil, err
		}
		read = append(read, data)
	}
	return read, nil
}

func (f folder) path(tile tlog.Tile) string {
	name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
	return filepath.Join(string(f), strings.Replace(name, "tile/data/", "tile/entries/", 1))
}

// entries of all bundles, each behind its length in two bytes.
func (f folder) entries(size int64) [][]byte {
	var all [][]byte
	for n := int64(0); n<<height < size; n++ {
		width := size - n<<height
		if width > 1<<height {
			width = 1 << height
		}
		data, err := os.ReadFile(f.path(tlog.Tile{H: height, L: -1, N: n, W: int(width)}))
		check(err)
		for i := int64(0); i < width; i++ {
			demand(len(data) >= 2, "bundle %d ends early", n)
			length := 2 + int(binary.BigEndian.Uint16(data))
			demand(len(data) >= length, "bundle %d ends early", n)
			all = append(all, data[2:length])
			data = data[length:]
		}
		demand(len(data) == 0, "bundle %d has bytes behind its entries", n)
	}
	return all
}

func open(file string, verifier note.Verifier) tlog.Tree {
	text, err := os.ReadFile(file)
	check(err)
	signed, err := note.Open(text, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(signed.Text, "\n")
	demand(len(lines) == 4 && lines[0] == verifier.Name(), "%s is not a checkpoint of this log", file)
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

func hash(text string) tlog.Hash {
	parsed, err := tlog.ParseHash(text)
	check(err)
	return parsed
}

// own is the tree built again from the entries alone.
type own []tlog.Hash

func (o own) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var read []tlog.Hash
	for _, at := range indexes {
		read = append(read, o[at])
	}
	return read, nil
}

func judge(f folder, verifier note.Verifier) {
	tree := open(filepath.Join(string(f), "checkpoint"), verifier)
	entries := f.entries(tree.N)
	var built own
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, built)
		check(err)
		built = append(built, hashes...)
	}
	root, err := tlog.TreeHash(tree.N, built)
	check(err)
	demand(root == tree.Hash, "the entries lead to another root")

	tiles := tlog.TileHashReader(tree, f)
	for i, entry := range entries {
		proof, err := tlog.ProveRecord(tree.N, int64(i), tiles)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), tlog.RecordHash(entry)))
	}
	kept, err := os.ReadDir(filepath.Join(string(f), "checkpoints"))
	check(err)
	for _, name := range kept {
		old := open(filepath.Join(string(f), "checkpoints", name.Name()), verifier)
		proof, err := tlog.ProveTree(tree.N, old.N, tiles)
		check(err)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
	}
	fmt.Printf("%d entries and %d checkpoints\n", tree.N, len(kept))
}

func proofs(file string) {
	data, err := os.ReadFile(file)
	check(err)
	lines := strings.Split(string(bytes.TrimSpace(data)), "\n")
	for _, line := range lines {
		words := strings.Fields(line)
		size, err := strconv.ParseInt(words[1], 10, 64)
		check(err)
		at, err := strconv.ParseInt(words[3], 10, 64)
		check(err)
		var path []tlog.Hash
		for _, word := range words[5:] {
			path = append(path, hash(word))
		}
		if words[0] == "record" {
			check(tlog.CheckRecord(path, size, hash(words[2]), at, hash(words[4])))
		} else {
			check(tlog.CheckTree(path, size, hash(words[2]), at, hash(words[4])))
		}
	}
	fmt.Printf("%d proofs\n", len(lines))
}

func demand(holds bool, what string, more ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, what+"\n", more...)
		os.Exit(1)
	}
}

func check(err error) { demand(err == nil, "%v", err) }

func main() {
	verifier, err := note.NewVerifier(os.Args[2])
	check(err)
	judge(folder(os.Args[1]), verifier)
	if len(os.Args) > 3 {
		proofs(os.Args[3])
	}
}
