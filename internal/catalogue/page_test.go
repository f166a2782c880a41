package catalogue_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/postern-dev/postern"
)

// TestPageOfApplicationsDeletedMeanwhile: a page that is not the last has
// something to go on from.
func TestPageOfApplicationsDeletedMeanwhile(t *testing.T) {
	w := newWorld(t)
	for i := range 2000 {
		w.application(fmt.Sprint("app", i))
	}
	var deleting sync.WaitGroup
	deleting.Go(func() {
		for n := postern.ApplicationNumber(1); n < 2000; n++ {
			if err := w.DeleteApplication(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
	})
	for more := true; more; {
		var page []*postern.Application
		if page, more = w.Applications(postern.ListPage{Limit: 1}); more && len(page) == 0 {
			t.Error("a page leads nowhere")
			break
		}
	}
	deleting.Wait()
}
