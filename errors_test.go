package postern_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/postern-dev/postern"
)

func TestErrorsMatchByKindAndCode(t *testing.T) {
	exists := &postern.Error{Kind: postern.Conflict, Code: "event_type_exists", Detail: "there is one"}
	for name, tc := range map[string]struct {
		err, target error
		want        bool
	}{
		"kind alone":                 {exists, postern.ErrConflict, true},
		"wrapped":                    {fmt.Errorf("create: %w", exists), postern.ErrConflict, true},
		"joined":                     {errors.Join(io.EOF, exists), postern.ErrConflict, true},
		"another kind":               {exists, postern.ErrInvalid, false},
		"the code asked for":         {exists, &postern.Error{Kind: postern.Conflict, Code: "event_type_exists"}, true},
		"another code":               {exists, &postern.Error{Kind: postern.Conflict, Code: "uid_exists"}, false},
		"a code where there is none": {postern.ErrConflict, exists, false},
		"the kind of another code":   {&postern.Error{Kind: postern.Invalid, Code: "event_type_exists"}, exists, false},
		"the cause":                  {&postern.Error{Kind: postern.Internal, Err: io.EOF}, io.EOF, true},
		"a cause with a kind":        {&postern.Error{Kind: postern.Internal, Err: exists}, postern.ErrConflict, true},
		"no Error at all":            {io.EOF, postern.ErrInvalid, false},
	} {
		if got := errors.Is(tc.err, tc.target); got != tc.want {
			t.Errorf("%s: Is(%v, %v) = %t", name, tc.err, tc.target, got)
		}
	}
}

func TestSentinelsDiffer(t *testing.T) {
	sentinels := []error{
		postern.ErrInvalid, postern.ErrUnauthorized, postern.ErrForbidden, postern.ErrNotFound,
		postern.ErrConflict, postern.ErrTooLarge, postern.ErrRateLimited, postern.ErrUnavailable,
	}
	for i, a := range sentinels {
		for j, b := range sentinels {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("%v is %v: %t", a, b, i != j)
			}
		}
	}
}

func TestKindOf(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want postern.Kind
	}{
		"none":         {nil, postern.Internal},
		"unclassified": {io.EOF, postern.Internal},
		"zero value":   {&postern.Error{}, postern.Internal},
		"direct":       {postern.ErrTooLarge, postern.TooLarge},
		"wrapped":      {fmt.Errorf("read: %w", postern.ErrTooLarge), postern.TooLarge},
		"the first":    {&postern.Error{Kind: postern.Unavailable, Err: postern.ErrInvalid}, postern.Unavailable},
		"joined":       {errors.Join(io.EOF, postern.ErrForbidden), postern.Forbidden},
	} {
		if got := postern.KindOf(tc.err); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestKindNames(t *testing.T) {
	want := []string{"internal", "invalid", "unauthorized", "forbidden", "not_found", "conflict", "too_large", "rate_limited", "unavailable"}
	for i, name := range want {
		if got := postern.Kind(i).String(); got != name {
			t.Errorf("kind %d is %q, want %q", i, got, name)
		}
	}
	if got := postern.Kind(200).String(); got != "internal" {
		t.Errorf("an unknown kind is %q, want internal: never the caller's fault", got)
	}
}

func TestErrorText(t *testing.T) {
	fields := []postern.FieldError{
		{Loc: []string{"body", "channels", "0"}, Msg: "is empty"},
		{Loc: []string{"body", "uid"}, Msg: "is too long"},
	}
	for name, tc := range map[string]struct {
		err  *postern.Error
		want string
	}{
		"nothing but a kind": {&postern.Error{Kind: postern.RateLimited}, "rate_limited"},
		"detail":             {postern.ErrNotFound, "Entity not found"},
		"cause":              {&postern.Error{Err: io.EOF}, "EOF"},
		"detail and cause":   {&postern.Error{Kind: postern.Invalid, Detail: "the body ends early", Err: io.ErrUnexpectedEOF}, "the body ends early: unexpected EOF"},
		"fields":             {&postern.Error{Kind: postern.Invalid, Fields: fields}, "body.channels.0: is empty: body.uid: is too long"},
		"detail and fields":  {&postern.Error{Kind: postern.Invalid, Detail: "bad input", Fields: fields[1:]}, "bad input: body.uid: is too long"},
		"one field":          {postern.InvalidField("is required", "body", "key"), "body.key: is required"},
		"nowhere":            {postern.InvalidField("is required"), "is required"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestInvalidField(t *testing.T) {
	err := postern.InvalidField("is required", "body", "key")
	if err.Kind != postern.Invalid || len(err.Fields) != 1 || err.Fields[0].Type != "value_error" || err.Detail != "is required" {
		t.Errorf("%+v", err)
	}
}

// A sealed secret does not show itself in any form that formats text.
func TestSealedHidesItself(t *testing.T) {
	endpoint := postern.Endpoint{Secrets: []postern.EndpointSecret{{Key: postern.Sealed("hidden")}}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{postern.Sealed("hidden"), endpoint} {
			if got := fmt.Sprintf(format, value); containsAny(got, "hidden", "68696464656e", "104 105", "0x68") {
				t.Errorf("%s shows the secret: %s", format, got)
			}
		}
	}
}
