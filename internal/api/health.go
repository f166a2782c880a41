package api

import (
	"fmt"

	"github.com/postern-dev/postern"
)

// healthOut says that requests can be served.
type healthOut struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// getHealth does not show the cause of bad health, because anybody may ask; who
// found it has logged it.
func (h *handler) getHealth(c *call, _ none) (healthOut, error) {
	if h.Health != nil {
		if err := h.Health(c.r.Context()); err != nil {
			return healthOut{}, &postern.Error{Kind: postern.Unavailable, Detail: "Not ready", Err: fmt.Errorf("api: health: %w", err)}
		}
	}
	return healthOut{Status: "ok", Version: h.Version}, nil
}

// ping says that the process answers, and nothing more.
func (h *handler) ping(*call, none) (none, error) { return none{}, nil }
