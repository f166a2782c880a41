package catalogue_test

import (
	"github.com/postern-dev/postern/internal/api"
	"github.com/postern-dev/postern/internal/catalogue"
)

// The catalogue is what the API needs of it.
var (
	_ api.Applications = (*catalogue.Catalogue)(nil)
	_ api.Endpoints    = (*catalogue.Catalogue)(nil)
	_ api.EventTypes   = (*catalogue.Catalogue)(nil)
	_ api.Sources      = (*catalogue.Catalogue)(nil)
	_ api.Keys         = (*catalogue.Catalogue)(nil)
)
