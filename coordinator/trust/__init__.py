"""The office's duties: members, agreements, certificates, open matters."""
