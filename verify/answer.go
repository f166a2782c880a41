package verify

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// answerText is an Answer whose settings are named yet, and known.
type answerText struct {
	Answer
	settings map[string]string
}

// answer resolves an Answer's texts.
func (c *compiler) answer(path string, def Answer) answerText {
	c.texts(path+"body", def.Body)
	c.texts(path+"contentType", def.ContentType)
	for name, value := range def.Headers {
		c.texts(path+"headers", value)
		if !isHeaderName(name) {
			c.fail(path+"headers", "has a name that is none of a header")
		}
	}
	if def.Status != 0 && (def.Status < 200 || def.Status > 599) {
		c.fail(path+"status", "must be 200 to 599")
	}
	return answerText{Answer: def, settings: c.settings}
}

// texts refuses a text that names a setting which is not declared.
func (c *compiler) texts(path, text string) {
	c.value(text, path)
}

// fill puts settings, and what else is given as names and values, in their places,
// all at once: a value is not looked into for more names. It escapes the values of
// more in place.
func (a answerText) fill(text string, escape func(string) string, more ...string) string {
	for _, name := range interpolated(text) {
		more = append(more, "${"+name+"}", a.settings[name])
	}
	for i := 1; i < len(more); i += 2 {
		more[i] = escape(more[i])
	}
	return strings.NewReplacer(more...).Replace(text)
}

// render fills in an answer. Nobody is to take it for anything but what it says
// it is, whoever chose what it echoes.
func (a answerText) render(more ...string) Answer {
	escape := plainText
	if strings.HasPrefix(a.ContentType, "application/json") {
		escape = jsonString
	}
	out := Answer{
		Status: a.Status, ContentType: a.fill(a.ContentType, plainText), Body: a.fill(a.Body, escape, slices.Clone(more)...),
		Headers: maps.Clone(a.Headers),
	}
	for name, value := range out.Headers {
		out.Headers[name] = a.fill(value, plainText, slices.Clone(more)...)
	}
	if out.Body != "" {
		// A body without a status is an answer of success, not the server's own.
		if out.Status == 0 {
			out.Status = http.StatusOK
		}
		if out.Headers == nil {
			out.Headers = make(map[string]string, 1)
		}
		out.Headers["X-Content-Type-Options"] = "nosniff"
	}
	return out
}

func plainText(text string) string { return text }

// jsonString is a text as it stands between the quotes of a JSON string.
func jsonString(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "" // strings marshal
	}
	return string(quoted[1 : len(quoted)-1])
}
