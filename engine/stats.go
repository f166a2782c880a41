package engine

import "github.com/postern-dev/postern/store"

// Usage is a store's sizes and background work.
type Usage = store.Usage
