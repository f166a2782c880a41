package main

import (
	"errors"
	"net/http"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/client"
)

// webhooks lets others be told by HTTP. It registers endpoints over the engine's
// API; what is delivered to them, signed and with retries, is the engine's part.
type webhooks struct {
	api *client.Client
}

func (h *webhooks) register(mux *http.ServeMux) {
	mux.HandleFunc("POST /webhooks", h.create)
}

// create registers a URL for events, all of them if none is named.
func (h *webhooks) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		URL    string   `json:"url"`
		Events []string `json:"events"`
	}
	if !read(w, r, &in) {
		return
	}
	ctx := r.Context()
	for _, name := range in.Events {
		// An endpoint can name event types that the engine has been told of.
		if meaning, ours := events[name]; ours {
			if _, err := h.api.EventTypes.Put(ctx, name, client.EventTypeIn{Description: meaning}); err != nil {
				refuse(w, err)
				return
			}
		}
	}
	endpoint, err := h.api.Endpoints.Create(ctx, application, client.EndpointIn{URL: in.URL, EventTypes: in.Events})
	if err != nil {
		refuse(w, err)
		return
	}
	secret, err := h.api.Endpoints.Secret(ctx, application, endpoint.ID.String())
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusCreated, map[string]string{"id": endpoint.ID.String(), "secret": secret})
}

// refuse passes on what the engine finds wrong with a request.
func refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, postern.ErrInvalid) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Error(w, "webhooks cannot be registered now", http.StatusServiceUnavailable)
}
