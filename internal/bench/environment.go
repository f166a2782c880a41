package bench

import (
	"runtime"
	"runtime/debug"
)

// environment is what a reader must know to compare figures.
type environment struct {
	Go         string `json:"go"`
	Revision   string `json:"revision,omitempty"` // of the source, "+dirty" if changed
	Platform   string `json:"platform"`
	Kernel     string `json:"kernel"`
	CPUs       []int  `json:"cpus"` // that all processes were pinned to; empty: not pinned
	FileSystem string `json:"fileSystem"`
	// Database is where stores were made; nil: in folders.
	Database *databaseInfo `json:"database,omitempty"`
}

// newEnvironment describes this machine, with the disk that o measures on.
func newEnvironment(o Options) environment {
	e := environment{
		Go:         runtime.Version(),
		Revision:   revision(),
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
		Kernel:     kernel(),
		CPUs:       o.CPUs,
		FileSystem: fileSystem(o.Dir),
	}
	if o.database != nil {
		e.Database = &o.database.info
		if files := o.database.info.files; files != "" {
			e.FileSystem = fileSystem(files)
		}
	}
	return e
}

// revision names the source that the binary was built from; empty when it does not
// know.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var hash, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			hash = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if hash == "" {
		return ""
	}
	return hash + dirty
}
