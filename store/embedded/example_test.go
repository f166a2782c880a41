package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store/embedded"
)

// How do I keep everything in a folder, and what if another process has it?
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "postern-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	st, err := embedded.Open(ctx, "file:"+filepath.Join(dir, "data"), embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer st.Close() // after the engine's Run has returned
	fmt.Println(st.Capabilities().Durable)

	_, err = embedded.Open(ctx, "file:"+filepath.Join(dir, "data"), embedded.Options{})
	fmt.Println(errors.Is(err, postern.ErrUnavailable))
	// Output:
	// true
	// true
}
