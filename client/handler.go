package client

import (
	"errors"
	"io"
	"net/http"
)

// within makes exchanges with a handler of the same process: no socket, and
// nobody else to reach. The handler runs on a goroutine of its own, as a server
// has it, and the answer is read while it is written.
type within struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper. It returns with the answer's header.
func (w within) RoundTrip(r *http.Request) (*http.Response, error) {
	body, feed := io.Pipe()
	answer := &answering{header: http.Header{}, feed: feed, begun: make(chan *http.Response, 1), request: r, body: body}
	served := r.Clone(r.Context())
	served.RequestURI = served.URL.RequestURI()
	served.Host = served.URL.Host
	if served.Body == nil {
		served.Body = http.NoBody
	}
	go func() {
		defer func() {
			if p := recover(); p != nil { // as a server's connection breaks
				answer.WriteHeader(http.StatusInternalServerError)
				feed.CloseWithError(errPanicked)
				return
			}
			answer.WriteHeader(http.StatusOK)
			_ = feed.Close() // it never fails
		}()
		w.handler.ServeHTTP(answer, served)
	}()
	select {
	case response := <-answer.begun:
		return response, nil
	case <-r.Context().Done():
		body.CloseWithError(r.Context().Err()) // what the handler still writes goes nowhere
		return nil, r.Context().Err()
	}
}

var errPanicked = errors.New("client: the handler panicked")

// answering is an answer while it is written.
type answering struct {
	request *http.Request
	header  http.Header
	feed    *io.PipeWriter
	body    *io.PipeReader
	begun   chan *http.Response // capacity 1
	wrote   bool
}

// Header implements http.ResponseWriter.
func (a *answering) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answering) WriteHeader(status int) {
	if a.wrote || status < 200 {
		return
	}
	a.wrote = true
	a.begun <- &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header.Clone(), Body: a.body, ContentLength: -1, Request: a.request,
	}
}

// Write implements http.ResponseWriter.
func (a *answering) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.feed.Write(p)
}

// Flush implements http.Flusher: what is written is there to be read.
func (a *answering) Flush() { a.WriteHeader(http.StatusOK) }
