package api

import (
	"slices"
	"time"

	"github.com/postern-dev/postern"
)

// replayIn chooses messages of the past and says where they go once more.
// Endpoints are ids or uids: EndpointID is whose deliveries are meant, and
// without it messages are chosen wherever they were routed; ToEndpointID is
// where they go, the same where it is absent. Times are RFC 3339.
type replayIn struct {
	EndpointID   optional[string]   `json:"endpointId"`
	ToEndpointID optional[string]   `json:"toEndpointId"`
	Status       optional[string]   `json:"status" api:"all|failed|dead|delivered|missing"`
	EventTypes   optional[[]string] `json:"eventTypes"`
	Channel      optional[string]   `json:"channel"`
	Tag          optional[string]   `json:"tag"`
	Since        optional[string]   `json:"since" api:"required"`
	Until        optional[string]   `json:"until"`
	// Rate bounds the deliveries started per second; null for no bound.
	Rate optional[int] `json:"rate"`
}

// replayOut is a replay with its progress. ToEndpointID is null once the
// endpoint is deleted, EndpointID also where messages are chosen without one.
type replayOut struct {
	ID           postern.ReplayID    `json:"id"`
	State        string              `json:"state" api:"running|paused|finished|canceled|failed"`
	Reason       *string             `json:"reason"`
	EndpointID   *postern.EndpointID `json:"endpointId"`
	ToEndpointID *postern.EndpointID `json:"toEndpointId"`
	Status       string              `json:"status" api:"all|failed|dead|delivered|missing"`
	EventTypes   []string            `json:"eventTypes"`
	Channel      *string             `json:"channel"`
	Tag          *string             `json:"tag"`
	Since        time.Time           `json:"since"`
	Until        time.Time           `json:"until"`
	Rate         *int                `json:"rate"`
	Examined     int64               `json:"examined"`
	Replayed     int64               `json:"replayed"`
	Skipped      int64               `json:"skipped"`
	// Total is an estimate of what Replayed comes to.
	Total      int64      `json:"total"`
	CreatedAt  time.Time  `json:"createdAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

// previewOut is how many deliveries a replay would start; an estimate where it
// is not exact, because the range is long.
type previewOut struct {
	Count int64 `json:"count"`
	Exact bool  `json:"exact"`
}

// renderReplay is a replay as callers read it.
func (h *handler) renderReplay(r *postern.Replay) replayOut {
	return replayOut{
		ID: r.ID, State: string(r.State), Reason: null(r.Reason),
		EndpointID: h.endpointID(r.Selection.From), ToEndpointID: h.endpointID(r.To), Status: string(r.Selection.Status),
		EventTypes: nullList(r.Selection.EventTypes), Channel: null(r.Selection.Channel), Tag: null(r.Selection.Tag),
		Since: r.Selection.Since.UTC(), Until: r.Selection.Until.UTC(), Rate: nullRate(r.Rate),
		Examined: r.Examined, Replayed: r.Replayed, Skipped: r.Skipped, Total: r.Total,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), FinishedAt: nullTime(r.FinishedAt),
	}
}

// endpointID is nil for an endpoint that is gone, and for none.
func (h *handler) endpointID(n postern.EndpointNumber) *postern.EndpointID {
	v := h.Endpoints.EndpointByNumber(n)
	if n == 0 || v == nil || v.Deleted {
		return nil
	}
	return &v.ID
}

// newReplay reads the input; what goes together is for the replays to say.
func (h *handler) newReplay(c *call, in *replayIn) (postern.Replay, error) {
	r := postern.Replay{Application: c.app.Number, Origin: postern.OriginReplay}
	var f faults
	r.Selection.From = h.takeEndpoint(c, &f, "endpointId", in.EndpointID)
	if r.To = h.takeEndpoint(c, &f, "toEndpointId", in.ToEndpointID); r.To == 0 {
		r.To = r.Selection.From
	}
	if r.To == 0 && len(f) == 0 {
		f.add("name the endpoint whose deliveries are meant, or the one that messages go to", "endpointId")
	}
	var status string
	take(&f, "status", in.Status, &status, nil)
	r.Selection.Status = postern.ReplayStatus(status)
	takeFilter(&f, &r.Selection, in.EventTypes, in.Channel, in.Tag)
	takeRange(&f, &r.Selection, in.Since, in.Until)
	take(&f, "rate", in.Rate, &r.Rate, wrongRate)
	return r, f.err()
}

// takeEndpoint finds an endpoint of the application that a body names; 0 for
// none.
func (h *handler) takeEndpoint(c *call, f *faults, name string, in optional[string]) postern.EndpointNumber {
	if in.Value == nil {
		return 0
	}
	v, err := h.Endpoints.Endpoint(c.app.Number, *in.Value)
	if err != nil {
		f.add("does not exist", name)
		return 0
	}
	return v.Number
}

// takeFilter reads which messages are meant.
func takeFilter(f *faults, s *postern.Selection, types optional[[]string], channel, tag optional[string]) {
	take(f, "eventTypes", types, &s.EventTypes, func(list []string) string {
		if len(list) == 0 || slices.ContainsFunc(list, func(name string) bool { return wrongName(name) != "" }) {
			return "must be names of event types, or null for all"
		}
		return ""
	})
	take(f, "channel", channel, &s.Channel, wrongName)
	take(f, "tag", tag, &s.Tag, nil)
}

// takeRange reads the times; since is needed.
func takeRange(f *faults, s *postern.Selection, since, until optional[string]) {
	wrong := func(text string) string {
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return "must be a time such as 2026-01-31T15:04:05Z"
		}
		return ""
	}
	var from, to string
	take(f, "since", since, &from, wrong)
	take(f, "until", until, &to, wrong)
	if since.Value == nil {
		f.add("is required", "since")
	}
	s.Since, _ = time.Parse(time.RFC3339, from) // checked, or absent
	s.Until, _ = time.Parse(time.RFC3339, to)
}

// listReplays lists the newest first unless told otherwise.
func (h *handler) listReplays(c *call, _ none) (listing[replayOut], error) {
	w, err := c.window(true)
	if err != nil {
		return listing[replayOut]{}, err
	}
	state, err := c.oneOf("state", replayStates())
	if err != nil {
		return listing[replayOut]{}, err
	}
	page, err := listPage(w, postern.ParseReplayID)
	if err != nil {
		return listing[replayOut]{}, err
	}
	records, more := h.Replays.Replays(c.app.Number, page, func(r *postern.Replay) bool {
		return state == "" || string(r.State) == state
	})
	id := func(r *postern.Replay) string { return r.ID.String() }
	return listed(w, records, !more, "", id, h.renderReplay), nil
}

func replayStates() []string {
	return []string{"running", "paused", "finished", "canceled", "failed"}
}

// createReplay begins at once; pause it to hold it.
func (h *handler) createReplay(c *call, in replayIn) (replayOut, error) {
	r, err := h.newReplay(c, &in)
	if err != nil {
		return replayOut{}, err
	}
	stored, err := h.Replays.CreateReplay(c.r.Context(), r)
	if err != nil {
		return replayOut{}, err
	}
	return h.renderReplay(stored), nil
}

// previewReplay counts what the same body would create.
func (h *handler) previewReplay(c *call, in replayIn) (previewOut, error) {
	r, err := h.newReplay(c, &in)
	if err != nil {
		return previewOut{}, err
	}
	n, exact, err := h.Replays.PreviewReplay(c.r.Context(), r)
	return previewOut{n, exact}, err
}

// getReplay shows how far it is.
func (h *handler) getReplay(c *call, _ none) (replayOut, error) {
	id, err := postern.ParseReplayID(c.param("replay"))
	if err != nil {
		return replayOut{}, postern.ErrNotFound
	}
	r, err := h.Replays.Replay(c.app.Number, id)
	if err != nil {
		return replayOut{}, err
	}
	return h.renderReplay(r), nil
}

// pauseReplay starts nothing more until it is resumed.
func (h *handler) pauseReplay(c *call, _ none) (replayOut, error) {
	return h.setReplay(c, postern.ReplayPaused)
}

// resumeReplay goes on where it was paused.
func (h *handler) resumeReplay(c *call, _ none) (replayOut, error) {
	return h.setReplay(c, postern.ReplayRunning)
}

// cancelReplay ends it; what it has started goes on.
func (h *handler) cancelReplay(c *call, _ none) (replayOut, error) {
	return h.setReplay(c, postern.ReplayCanceled)
}

func (h *handler) setReplay(c *call, state postern.ReplayState) (replayOut, error) {
	id, err := postern.ParseReplayID(c.param("replay"))
	if err != nil {
		return replayOut{}, postern.ErrNotFound
	}
	r, err := h.Replays.SetReplayState(c.r.Context(), c.app.Number, id, state)
	if err != nil {
		return replayOut{}, err
	}
	return h.renderReplay(r), nil
}
