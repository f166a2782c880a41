package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/postern-dev/postern/internal/config"
)

// newLogger makes the program's only logger, as log-level and log-format say.
func (p *Program) newLogger(c *config.Config) *slog.Logger {
	terminal := isTerminal(p.Stderr)
	if c.LogFormat == config.LogJSON || c.LogFormat == config.LogAuto && !terminal {
		return slog.New(slog.NewJSONHandler(p.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	}
	return slog.New(newTextHandler(p.Stderr, c.LogLevel, terminal && !p.has("NO_COLOR")))
}

// has reports whether the environment sets a variable to anything but empty.
func (p *Program) has(name string) bool {
	for _, pair := range p.Environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok && value != "" {
			return true
		}
	}
	return false
}

// isTerminal reports whether a person is likely to read what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// textHandler writes a line for a person: time of day, level, message, then
// the attributes as slog's text handler writes them.
type textHandler struct {
	attrs  slog.Handler // writes the attributes alone, into shared.line
	shared *textShared
	colour bool
}

// textShared is what the handlers that come from one another have in common.
type textShared struct {
	mu   sync.Mutex
	line bytes.Buffer
	out  io.Writer
}

func newTextHandler(out io.Writer, level slog.Level, colour bool) *textHandler {
	shared := &textShared{out: out}
	attrs := slog.NewTextHandler(&shared.line, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{} // Handle writes them itself
			}
			return a
		},
	})
	return &textHandler{attrs: attrs, shared: shared, colour: colour}
}

// Enabled reports whether the level is logged.
func (h *textHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

// Handle writes one line with one Write.
func (h *textHandler) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	line := &h.shared.line
	line.Reset()
	line.WriteString(r.Time.Format("15:04:05.000 "))
	line.WriteString(h.paint(r.Level))
	line.WriteByte(' ')
	line.WriteString(printable(r.Message))
	line.WriteByte(' ')
	if err := h.attrs.Handle(ctx, r); err != nil {
		return err
	}
	text := append(bytes.TrimRight(line.Bytes(), " \n"), '\n')
	_, err := h.shared.out.Write(text)
	return err
}

// WithAttrs is a handler that adds the attributes to every line.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &textHandler{attrs: h.attrs.WithAttrs(attrs), shared: h.shared, colour: h.colour}
}

// WithGroup is a handler that puts what follows into a group.
func (h *textHandler) WithGroup(name string) slog.Handler {
	return &textHandler{attrs: h.attrs.WithGroup(name), shared: h.shared, colour: h.colour}
}

// paint is the level in five columns, with the terminal's own colours for what
// needs a look.
func (h *textHandler) paint(level slog.Level) string {
	name := (level.String() + "     ")[:5]
	switch {
	case !h.colour:
		return name
	case level >= slog.LevelError:
		return "\x1b[31m" + name + "\x1b[0m"
	case level >= slog.LevelWarn:
		return "\x1b[33m" + name + "\x1b[0m"
	case level < slog.LevelInfo:
		return "\x1b[2m" + name + "\x1b[0m"
	}
	return name
}

// printable quotes a message that would break the line or talk to the terminal.
func printable(message string) string {
	if strings.ContainsFunc(message, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(message)
	}
	return message
}
