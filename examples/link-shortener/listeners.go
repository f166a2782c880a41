package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern/engine"
	"github.com/postern-dev/postern/inbox"
)

// listen has this program's own listeners told. Another one is another line
// here, and no change to the shortener.
func listen(eng *engine.Engine, db *pgxpool.Pool, log *slog.Logger) error {
	// A handler is durable: its name is who it is over restarts, and a click that
	// it could not count is tried again, by the same schedule as a webhook.
	clicks := &analytics{db}
	eng.Use(engine.Log(log)) // failures as warnings, the rest for who debugs
	counting := eng.OnWith(engine.HandlerOptions{Name: "analytics", EventTypes: []string{linkClicked}}, engine.Typed(clicks.count))

	// A listener is not: it is called as events are published, and forgotten.
	_, logging := eng.Listen("link.*", func(ctx context.Context, msg *engine.Message) {
		var of link
		if err := msg.Decode(&of); err == nil {
			log.InfoContext(ctx, "event", "type", msg.EventType, "code", of.Code, "id", msg.ID.String())
		}
	})
	return errors.Join(counting, logging)
}

// analytics counts clicks.
type analytics struct{ db *pgxpool.Pool }

// count counts a click once, though it can be called twice for one: the note of
// its message and the new figure are in one transaction.
func (a *analytics) count(ctx context.Context, msg engine.MessageOf[link]) error {
	return pgx.BeginFunc(ctx, a.db, func(tx pgx.Tx) error {
		first, err := inbox.Once(ctx, inbox.PGX(tx), inbox.Message{Handler: msg.Handler, ID: msg.ID.String()})
		if err != nil || !first {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO clicks AS c (code, count) VALUES ($1, 1)
			ON CONFLICT (code) DO UPDATE SET count = c.count + 1`, msg.Data.Code)
		return err
	})
}
