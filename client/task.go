package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/postern-dev/postern"
)

// Task is what the server does over time, in Svix's words: a replay, or
// expunging all messages of an application.
type Task struct {
	ID postern.BackgroundTaskID `json:"id"`
	// Status is running, finished or failed.
	Status string `json:"status"`
	// Task is its kind, such as application.purge_content.
	Task      string    `json:"task"`
	UpdatedAt time.Time `json:"updatedAt"`
	// Data says how far it is; nil where it has just begun.
	Data *TaskData `json:"data"`
}

// TaskData says whose a task is, and how far it is.
type TaskData struct {
	// AppID is nil once the application is deleted; so are the others, which
	// expunging has not.
	AppID      *postern.ApplicationID `json:"appId"`
	EndpointID *postern.EndpointID    `json:"endpointId"`
	ReplayID   *postern.ReplayID      `json:"replayId"`
	// MessagesPurged counts what was expunged; 0 for replays.
	MessagesPurged int64 `json:"messagesPurged"`
}

// Tasks are those of all applications, or of the key's own.
type Tasks struct{ c *Client }

// All walks all tasks, the newest first unless told otherwise; kind is that of
// Task.Task, "" for all.
func (t Tasks) All(ctx context.Context, kind string, p Page) iter.Seq2[Task, error] {
	query := p.values()
	set(query, "task", kind)
	return all[Task](ctx, t.c, "/background-task", query)
}

// Get finds one.
func (t Tasks) Get(ctx context.Context, task string) (*Task, error) {
	return call[Task](ctx, t.c, request{method: http.MethodGet, path: path("background-task", task)})
}
