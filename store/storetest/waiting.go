package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/store"
)

// testWaiting: an endpoint's rows are listed by message in both directions and
// within a window, each once, and another application has none of them.
func testWaiting(t *testing.T, h Harness) {
	w := newWorld(t, h)
	messages := fill(w, 40, nil)
	var batch store.Batch
	var oldest []postern.Row
	for i, m := range messages {
		row := w.row(m, 1, 1, time.Duration(100-i)*time.Minute)
		batch.Rows = append(batch.Rows, store.RowChange{Put: row}, store.RowChange{Put: w.row(m, 2, 1, time.Minute)})
		oldest = append(oldest, *row)
	}
	w.commit(batch)
	// One is moved, one deleted.
	moved := *w.row(messages[3], 1, 2, 24*time.Hour)
	w.commit(store.Batch{Rows: []store.RowChange{{Delete: &oldest[3], Put: &moved}, {Delete: &oldest[7]}}})
	oldest[3] = moved
	oldest = slices.Delete(oldest, 7, 8)
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	w.everywhere(func(t *testing.T) {
		for _, limit := range []int{1, 6, 39, 100} {
			equal(t, "newest first", newest, rowPages(t, w.s, 5, store.Page{Limit: limit}))
			equal(t, "oldest first", oldest, rowPages(t, w.s, 5, store.Page{Limit: limit, Ascending: true}))
			window := store.Page{Limit: limit, Since: messages[9].CreatedAt(), Until: messages[30].CreatedAt()}
			equal(t, "since and until", newest[10:30], rowPages(t, w.s, 5, window))
		}
		equal(t, "another application's", []postern.Row{}, rowPages(t, w.s, 6, store.Page{Limit: 10}))
	})
	page := must[store.RowPage](t)(w.s.Waiting(t.Context(), 5, 1, store.Page{Limit: 39}))
	if !page.Done || len(page.Rows) != 39 {
		t.Errorf("a page of exactly the list: %d rows, done %t", len(page.Rows), page.Done)
	}
}

// rowPages walks the rows of endpoint 1.
func rowPages(t *testing.T, s store.Store, app postern.ApplicationNumber, p store.Page) []postern.Row {
	t.Helper()
	var list []postern.Row
	pages(t, p, func(p store.Page) ([]postern.MessageID, [20]byte, bool) {
		page := must[store.RowPage](t)(s.Waiting(t.Context(), app, 1, p))
		list = append(list, page.Rows...)
		ids := make([]postern.MessageID, len(page.Rows))
		for i, row := range page.Rows {
			ids[i] = row.Message
		}
		return ids, page.Next, page.Done
	})
	return list
}
