package api

import (
	"slices"
	"strings"
	"time"

	"github.com/postern-dev/postern"
)

// Svix's SDKs know replays, and what expunges all messages, as background tasks:
// the same records under ids of the same bits, in words that strict SDKs can
// read.

// taskOut is a replay as the operation that created it answers.
type taskOut struct {
	ID        postern.BackgroundTaskID `json:"id"`
	Status    string                   `json:"status" api:"running|finished|failed"`
	Task      string                   `json:"task" api:"endpoint.recover|endpoint.replay|endpoint.bulk-replay|application.purge_content"`
	UpdatedAt time.Time                `json:"updatedAt"`
}

// taskDetailOut is a replay in the list of background tasks.
type taskDetailOut struct {
	taskOut
	Data taskDataOut `json:"data"`
}

// taskDataOut says which replay it is, and how far.
type taskDataOut struct {
	AppID      *postern.ApplicationID `json:"appId"`
	EndpointID *postern.EndpointID    `json:"endpointId"`
	ReplayID   *postern.ReplayID      `json:"replayId"` // null for what expunges
	State      string                 `json:"state" api:"running|paused|finished|canceled|failed"`
	Examined   int64                  `json:"examined"`
	Replayed   int64                  `json:"replayed"`
	Skipped    int64                  `json:"skipped"`
	Total      int64                  `json:"total"`
	// MessagesPurged is there for what expunges.
	MessagesPurged *int64 `json:"messagesPurged,omitempty"`
}

// recoverIn is the time that an endpoint is to be given once more.
type recoverIn struct {
	Since optional[string] `json:"since" api:"required"`
	Until optional[string] `json:"until"`
}

// bulkReplayIn chooses among an endpoint's messages. Status is how they stand:
// 0 delivered, 2 failed; null for all that were ever sent.
type bulkReplayIn struct {
	recoverIn
	EventTypes      optional[[]string] `json:"eventTypes"`
	Channel         optional[string]   `json:"channel"`
	Tag             optional[string]   `json:"tag"`
	Status          optional[int]      `json:"status" api:"0|2"`
	StatusCodeClass optional[int]      `json:"statusCodeClass"`
}

// maxRecover is how far back an endpoint is recovered.
const maxRecover = 14 * 24 * time.Hour

// recoverEndpoint resends what failed.
func (h *handler) recoverEndpoint(c *call, in recoverIn) (taskOut, error) {
	return h.createTask(c, postern.OriginRecover, postern.StatusFailed, func(s *postern.Selection) error {
		var f faults
		takeRange(&f, s, in.Since, in.Until)
		if len(f) == 0 && h.Now().Sub(s.Since) > maxRecover {
			f.add("must be within the last 14 days", "since")
		}
		return f.err()
	})
}

// replayMissing sends what the endpoint would get now and never got.
func (h *handler) replayMissing(c *call, in recoverIn) (taskOut, error) {
	return h.createTask(c, postern.OriginMissing, postern.StatusMissing, func(s *postern.Selection) error {
		var f faults
		takeRange(&f, s, in.Since, in.Until)
		return f.err()
	})
}

// bulkReplay resends what a filter chooses.
func (h *handler) bulkReplay(c *call, in bulkReplayIn) (taskOut, error) {
	return h.createTask(c, postern.OriginBulk, postern.StatusAll, func(s *postern.Selection) error {
		var f faults
		takeRange(&f, s, in.Since, in.Until)
		takeFilter(&f, s, in.EventTypes, in.Channel, in.Tag)
		if in.Status.Value != nil {
			switch *in.Status.Value {
			case statusSuccess:
				s.Status = postern.StatusDelivered
			case statusFail:
				s.Status = postern.StatusFailed
			default:
				f.add("must be 0 or 2, or null: what is pending or being sent is on its way", "status")
			}
		}
		if in.StatusCodeClass.Value != nil {
			f.add("replays are not chosen by status codes; leave it out", "statusCodeClass")
		}
		return f.err()
	})
}

// createTask creates a replay of the endpoint in the path to itself.
func (h *handler) createTask(c *call, origin postern.ReplayOrigin, status postern.ReplayStatus, read func(*postern.Selection) error) (taskOut, error) {
	v, err := h.endpoint(c)
	if err != nil {
		return taskOut{}, err
	}
	r := postern.Replay{
		Application: c.app.Number, To: v.Number, Origin: origin,
		Selection: postern.Selection{From: v.Number, Status: status},
	}
	if err := read(&r.Selection); err != nil {
		return taskOut{}, err
	}
	stored, err := h.Replays.CreateReplay(c.r.Context(), r)
	if err != nil {
		return taskOut{}, err
	}
	return renderTask(stored), nil
}

func renderTask(r *postern.Replay) taskOut {
	return taskOut{ID: postern.BackgroundTaskID(r.ID), Status: taskStatus(r.State), Task: taskName(r.Origin), UpdatedAt: r.UpdatedAt.UTC()}
}

func (h *handler) renderTaskDetail(r *postern.Replay) taskDetailOut {
	out := taskDetailOut{taskOut: renderTask(r), Data: taskDataOut{
		EndpointID: h.endpointID(r.To), ReplayID: &r.ID, State: string(r.State),
		Examined: r.Examined, Replayed: r.Replayed, Skipped: r.Skipped, Total: r.Total,
	}}
	if r.Origin == postern.OriginExpunge {
		out.Data.ReplayID, out.Data.MessagesPurged = nil, &r.Replayed
	}
	if app := h.Applications.ApplicationByNumber(r.Application); app != nil {
		out.Data.AppID = &app.ID
	}
	return out
}

// taskStatus is a state in Svix's words: one that is paused will go on, and one
// that was canceled has ended as it was told.
func taskStatus(s postern.ReplayState) string {
	switch s {
	case postern.ReplayFinished, postern.ReplayCanceled:
		return "finished"
	case postern.ReplayFailed:
		return "failed"
	}
	return "running"
}

// taskName is what Svix calls the operation.
func taskName(o postern.ReplayOrigin) string {
	switch o {
	case postern.OriginRecover:
		return "endpoint.recover"
	case postern.OriginMissing:
		return "endpoint.replay"
	case postern.OriginExpunge:
		return "application.purge_content"
	}
	return "endpoint.bulk-replay"
}

func taskStatuses() []string { return []string{"running", "finished", "failed"} }

func taskNames() []string {
	return []string{"endpoint.recover", "endpoint.replay", "endpoint.bulk-replay", "application.purge_content"}
}

// listTasks lists the newest first: those of the key's application, or of all.
func (h *handler) listTasks(c *call, _ none) (listing[taskDetailOut], error) {
	var list listing[taskDetailOut]
	w, err := c.window(true)
	if err != nil {
		return list, err
	}
	page := w.catalogue()
	if page.After != "" {
		id, err := postern.ParseBackgroundTaskID(page.After)
		if err != nil {
			return list, wrongIterator()
		}
		page.After = postern.ReplayID(id).String()
	}
	status, err := c.oneOf("status", taskStatuses())
	if err != nil {
		return list, err
	}
	task, err := c.oneOf("task", taskNames())
	if err != nil {
		return list, err
	}
	records, more := h.Replays.Tasks(c.who.Application, page, func(r *postern.Replay) bool {
		return (status == "" || taskStatus(r.State) == status) && (task == "" || taskName(r.Origin) == task)
	})
	id := func(r *postern.Replay) string { return postern.BackgroundTaskID(r.ID).String() }
	return listed(w, records, !more, "", id, h.renderTaskDetail), nil
}

// getTask follows a task to its end; another application's is none.
func (h *handler) getTask(c *call, _ none) (taskDetailOut, error) {
	id, err := postern.ParseBackgroundTaskID(c.param("task"))
	if err != nil {
		return taskDetailOut{}, postern.ErrNotFound
	}
	r, err := h.Replays.Task(c.who.Application, postern.ReplayID(id))
	if err != nil {
		return taskDetailOut{}, err
	}
	return h.renderTaskDetail(r), nil
}

// oneOf is a parameter that may only have certain values; "" for none.
func (c *call) oneOf(name string, values []string) (string, error) {
	text, err := c.value(name)
	if err == nil && text != "" && !slices.Contains(values, text) {
		err = postern.InvalidField("must be one of "+strings.Join(values, ", "), "query", name)
	}
	return text, err
}
