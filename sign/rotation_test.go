package sign_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-dev/postern/sign"
)

func TestRotate(t *testing.T) {
	now := time.Unix(sentAt, 0)
	first, second, third := sign.GenerateSymmetric(), sign.GenerateEd25519(), sign.GenerateSymmetric()

	s, err := sign.Secrets{Current: first}.Rotate(second, now, sign.DefaultGrace)
	if err != nil {
		t.Fatal(err)
	}
	s, err = s.Rotate(third, now.Add(time.Hour), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		after time.Duration
		want  []sign.Key
	}{
		{time.Hour, []sign.Key{third, second, first}},
		{2*time.Hour - 1, []sign.Key{third, second, first}},
		{2 * time.Hour, []sign.Key{third, first}},
		{24 * time.Hour, []sign.Key{third}},
	} {
		if diff := cmp.Diff(tc.want, s.Live(now.Add(tc.after))); diff != "" {
			t.Errorf("live after %v (-want +got):\n%s", tc.after, diff)
		}
	}

	s, err = s.Rotate(first, now.Add(25*time.Hour), 0)
	if err != nil {
		t.Fatalf("a key that has ended cannot come back: %v", err)
	}
	if len(s.Old) != 0 {
		t.Errorf("%d old keys are kept after a rotation without grace", len(s.Old))
	}
}

func TestRotateRefuses(t *testing.T) {
	now := time.Unix(sentAt, 0)
	current, next := sign.GenerateSymmetric(), sign.GenerateSymmetric()
	public, _ := sign.GenerateEd25519().Public()
	full := sign.Secrets{Current: current}
	for range sign.MaxOldKeys {
		var err error
		if full, err = full.Rotate(sign.GenerateSymmetric(), now, sign.MaxGrace); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sign.NewSigner(full.Live(now)...); err != nil {
		t.Errorf("the most keys that can be live cannot sign: %v", err)
	}
	for name, tc := range map[string]struct {
		from  sign.Secrets
		next  sign.Key
		grace time.Duration
		want  error
	}{
		"zero key":       {sign.Secrets{Current: current}, sign.Key{}, 0, sign.ErrKeyEmpty},
		"public key":     {sign.Secrets{Current: current}, public, 0, sign.ErrKeyKind},
		"same key":       {sign.Secrets{Current: current}, current, 0, sign.ErrSameKey},
		"old key":        {full, current, 0, sign.ErrSameKey},
		"grace too long": {sign.Secrets{Current: current}, next, sign.MaxGrace + 1, sign.ErrGrace},
		"grace negative": {sign.Secrets{Current: current}, next, -1, sign.ErrGrace},
		"too many":       {full, next, time.Hour, sign.ErrTooManyKeys},
	} {
		if _, err := tc.from.Rotate(tc.next, now, tc.grace); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := full.Rotate(next, now.Add(sign.MaxGrace), time.Hour); err != nil {
		t.Errorf("keys that have ended still count: %v", err)
	}
}
