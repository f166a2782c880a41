package api

import (
	"regexp"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// backupIn names a backup. Directory is one name, in the folder where the server
// keeps its backups: a key of the API must not choose where on the machine files
// are made.
type backupIn struct {
	Directory *string `json:"directory"` // made of the time by default
}

// backupOut is where a backup lies. Directory is a path on the server's machine.
type backupOut struct {
	Directory string    `json:"directory"`
	Bytes     int64     `json:"bytes"`
	Files     int       `json:"files"`
	KeyRing   bool      `json:"keyRing"` // the ring of the secrets is in it
	CreatedAt time.Time `json:"createdAt"`
}

// backupName cannot leave the folder, hide in it, or be a switch of a program. Nor
// does it end like what is not whole yet, which the server tidies away.
func backupName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`) }

// createBackup answers once the backup is on disk.
func (h *handler) createBackup(c *call, in backupIn) (backupOut, error) {
	if h.Backup == nil {
		return backupOut{}, &postern.Error{Kind: postern.Conflict, Code: "no_backups", Detail: "This server's store is not one that it can back up"}
	}
	name := h.Now().UTC().Format("backup-20060102T150405Z")
	if in.Directory != nil {
		name = *in.Directory
	}
	if !backupName().MatchString(name) || strings.HasSuffix(name, ".partial") {
		return backupOut{}, postern.InvalidField("must be one name of letters, digits, '_', '-' and '.', at most 100 long: the server keeps its backups in a folder of its own", "body", "directory")
	}
	b, err := h.Backup(c.r.Context(), name)
	if err != nil {
		return backupOut{}, err
	}
	return backupOut{b.Directory, b.Bytes, b.Files, b.KeyRing, b.CreatedAt.UTC()}, nil
}
