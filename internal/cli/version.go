package cli

import (
	"fmt"
	"runtime"
)

// versionCmd tells which binary this is.
type versionCmd struct{}

// Run prints the version, the Go release and the system it was built for.
func (versionCmd) Run(p *Program) error {
	_, err := fmt.Fprintf(p.Stdout, "postern %s (%s, %s/%s)\n", p.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
