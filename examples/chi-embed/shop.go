package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// shop is an application as there are many: routes, middleware, a login. It knows
// nothing of webhooks but that somebody wants to be told of orders.
type shop struct {
	password string
	log      *slog.Logger
	// placed is told of an order before it is taken; its error has it refused.
	placed func(ctx context.Context, o order) error

	mu       sync.Mutex
	orders   map[string]order
	sessions map[string]bool
}

type order struct {
	Number string `json:"number"`
	Item   string `json:"item"`
	Paid   bool   `json:"paid"`
}

func newShop(password string, log *slog.Logger, placed func(context.Context, order) error) *shop {
	return &shop{password: password, log: log, placed: placed, orders: map[string]order{}, sessions: map[string]bool{}}
}

// routes are those that the application always had.
func (s *shop) routes(r chi.Router) {
	r.Use(s.accessLog, middleware.RequestSize(64<<10), middleware.Timeout(10*time.Second))
	r.Post("/login", s.login)
	r.With(s.loggedIn).Post("/orders", s.place)
	r.With(s.loggedIn).Get("/orders/{number}", s.show)
}

// accessLog notes every request, with its path.
func (s *shop) accessLog(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.log.InfoContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path)
		next.ServeHTTP(w, r)
	})
}

// login gives a cookie for the password.
func (s *shop) login(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.PostFormValue("password")), []byte(s.password)) == 0 {
		http.Error(w, "wrong password", http.StatusUnauthorized)
		return
	}
	session := rand.Text()
	s.mu.Lock()
	s.sessions[session] = true
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{
		Name: "session", Value: session, Path: "/",
		HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	})
	fmt.Fprintln(w, "welcome")
}

// loggedIn is middleware that lets nobody else pass.
func (s *shop) loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if err != nil || !s.knows(cookie.Value) {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *shop) knows(session string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[session]
}

// place takes an order.
func (s *shop) place(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Item == "" {
		http.Error(w, "want the item, as JSON", http.StatusBadRequest)
		return
	}
	o.Number, o.Paid = rand.Text()[:8], false
	if err := s.placed(r.Context(), o); err != nil {
		s.log.ErrorContext(r.Context(), "an order could not be told of", "error", err)
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	s.mu.Lock()
	s.orders[o.Number] = o
	s.mu.Unlock()
	answer(w, http.StatusCreated, o)
}

func (s *shop) show(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	o, ok := s.orders[chi.URLParam(r, "number")]
	s.mu.Unlock()
	if !ok {
		http.Error(w, "no such order", http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, o)
}

// pay notes that an order is paid; false for none of that number.
func (s *shop) pay(number string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.orders[number]
	if ok {
		o.Paid = true
		s.orders[number] = o
	}
	return ok
}

func answer(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(out); err != nil {
		return // the client is gone, and knows as much
	}
}
