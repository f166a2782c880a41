package embedded

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/internal/testkit"
	"github.com/postern-dev/postern/store"
)

// killedFolder names the folder in the process that is going to be killed.
const killedFolder = "POSTERN_TEST_KILLED_FOLDER"

// TestKilledProcess kills a process in the middle of its commits, several
// times over the same folder: what it said it had stored is there.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv(killedFolder); dir != "" {
		commitUntilKilled(t, dir)
		return
	}
	dir := t.TempDir() + "/store"
	var acknowledged uint64
	for round := range testkit.Count(3, 50) {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKilledProcess$")
		child.Env = append(os.Environ(), killedFolder+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if batch, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				acknowledged = batch
			}
			if n == 50+37*round {
				_ = child.Process.Kill() // its pipe is read to the end all the same
			}
		}
		_ = child.Wait() // it was killed
		s := openAt(t, "file:"+dir, nil)
		head, err := s.Head(t.Context())
		if err != nil || head.Batch < acknowledged || acknowledged == 0 {
			t.Fatalf("round %d: head of batch %d, acknowledged %d, %v", round, head.Batch, acknowledged, err)
		}
		page, err := s.Messages(t.Context(), 1, store.MessageFilter{}, store.Page{Limit: 1})
		if err != nil || len(page.Messages) != 1 || page.Messages[0].ID.Position() != head.Next-1 {
			t.Fatalf("round %d: newest %+v, head %+v, %v", round, page.Messages, head, err)
		}
		closeStore(t, s)
	}
}

// commitUntilKilled writes the number of each batch once it is stored.
func commitUntilKilled(t *testing.T, dir string) {
	s := openAt(t, "file:"+dir, nil)
	head, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	head.Next = max(head.Next, 1)
	for {
		now := time.Now()
		m := &postern.Message{ID: postern.NewMessageID(now, 1, head.Next, 1), Application: 1}
		head.Batch++
		head.Next++
		head.LastTime = now
		b := store.Batch{Head: head, Accepts: []store.Accept{{Message: m, Content: &postern.Content{Payload: make([]byte, 2000)}}}}
		if err := s.Commit(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		fmt.Println(head.Batch)
	}
}
