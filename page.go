package postern

// ListPage is a window into a list of the catalogue: Limit records behind
// After, "" for its start. The boolean that goes with a page says that there
// is more behind it.
type ListPage struct {
	After      string
	Descending bool
	Limit      int
}
