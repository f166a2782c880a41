package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/postern-dev/postern"
	"github.com/postern-dev/postern/outbox"
)

// Events of the shortener.
const (
	linkCreated = "link.created"
	linkClicked = "link.clicked"
)

// events are all of them, and what they mean.
var events = map[string]string{
	linkCreated: "A link was made",
	linkClicked: "Somebody followed a link",
}

type link struct {
	Code string `json:"code"`
	URL  string `json:"url"`
}

// links is the shortener. It says what happens, and knows of nobody who listens.
type links struct {
	db     *pgxpool.Pool
	events publisher
	// committed is called after a transaction with an event in it.
	committed func()
	log       *slog.Logger
}

// publisher is all that the shortener needs of the engine.
type publisher interface {
	Publish(ctx context.Context, p postern.Publish) (m *postern.Message, duplicate bool, err error)
}

func (l *links) register(mux *http.ServeMux) {
	mux.HandleFunc("POST /links", l.create)
	mux.HandleFunc("GET /links/{code}", l.show)
	mux.HandleFunc("GET /{code}", l.follow)
}

// create makes a link. The link and its event are in one transaction: both will
// be there, or neither.
func (l *links) create(w http.ResponseWriter, r *http.Request) {
	var made link
	if !read(w, r, &made) {
		return
	}
	if u, err := url.Parse(made.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		http.Error(w, "url: want http:// or https:// and a host", http.StatusBadRequest)
		return
	}
	made.Code = strings.ToLower(rand.Text()[:8])
	ctx := r.Context()
	err := pgx.BeginFunc(ctx, l.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO links (code, url) VALUES ($1, $2)`, made.Code, made.URL); err != nil {
			return err
		}
		_, err := outbox.Publish(ctx, outbox.PGX(tx), event(linkCreated, made))
		return err
	})
	if err != nil {
		l.fail(w, r, err)
		return
	}
	l.committed()
	answer(w, http.StatusCreated, made)
}

// follow redirects, and publishes that it did.
func (l *links) follow(w http.ResponseWriter, r *http.Request) {
	ctx, clicked := r.Context(), link{Code: r.PathValue("code")}
	if err := l.db.QueryRow(ctx, `SELECT url FROM links WHERE code = $1`, clicked.Code).Scan(&clicked.URL); err != nil {
		l.fail(w, r, err)
		return
	}
	// Once it returns the event is on disk, whatever becomes of this program. A
	// visitor gets on even if it does not.
	if _, _, err := l.events.Publish(ctx, event(linkClicked, clicked)); err != nil {
		l.log.WarnContext(ctx, "a click was not published", "code", clicked.Code, "error", err)
	}
	http.Redirect(w, r, clicked.URL, http.StatusFound)
}

// show tells how often a link was clicked.
func (l *links) show(w http.ResponseWriter, r *http.Request) {
	var out struct {
		link
		Clicks int64 `json:"clicks"`
	}
	out.Code = r.PathValue("code")
	err := l.db.QueryRow(r.Context(), `
		SELECT url, coalesce(count, 0) FROM links LEFT JOIN clicks USING (code) WHERE code = $1`,
		out.Code).Scan(&out.URL, &out.Clicks)
	if err != nil {
		l.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, out)
}

// event is what happened to a link. The payload says its type as well: it is all
// that a webhook's receiver gets.
func event(eventType string, of link) postern.Publish {
	payload, err := json.Marshal(struct {
		Type string `json:"type"`
		link
	}{eventType, of})
	if err != nil {
		panic(err) // strings always marshal
	}
	return postern.Publish{EventType: eventType, Payload: payload}
}

// fail answers for a database that did not do what it was asked.
func (l *links) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, pgx.ErrNoRows) {
		http.Error(w, "no such link", http.StatusNotFound)
		return
	}
	l.log.ErrorContext(r.Context(), "the database failed", "error", err)
	http.Error(w, "something went wrong", http.StatusInternalServerError)
}

// read decodes a request of at most 16 KiB; it answers one that is no JSON.
func read(w http.ResponseWriter, r *http.Request, in any) (ok bool) {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(in)
	if err != nil {
		http.Error(w, "the body is not the JSON that is wanted", http.StatusBadRequest)
	}
	return err == nil
}

func answer(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(out); err != nil {
		return // the client is gone, and knows as much
	}
}
