package postern_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/postern-dev/postern"
)

const day = 24 * time.Hour

// settleAt is when the attempts of these tests end.
func settleAt() time.Time { return time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC) }

// ago is the health of an endpoint that has failed for so long, and so often
// that only time counts; 0 for that of its first failure.
func ago(d time.Duration) postern.Health {
	h := postern.Health{FailingSince: settleAt().Add(-d), Failures: postern.DisableFailures}
	if d == 0 {
		h.Failures = 1
	}
	return h
}

// seldom is as ago, of an endpoint that failed so often.
func seldom(d time.Duration, failures int) postern.Health {
	h := ago(d)
	h.Failures = failures
	return h
}

func disabled(why string, failing, since time.Duration) postern.Health {
	h := ago(failing)
	h.Disabled, h.DisabledAt = why, settleAt().Add(-since)
	return h
}

// retrying is the outcome of a failure with tries left.
func retrying(tries int, wait time.Duration, h postern.Health) postern.Outcome {
	return postern.Outcome{State: postern.Retrying, Tries: tries, Wait: wait, Next: settleAt().Add(wait), PutRow: true, Health: h}
}

func dead(reason postern.Reason, h postern.Health) postern.Outcome {
	return postern.Outcome{State: postern.Dead, Reason: reason, Health: h}
}

func TestSettle(t *testing.T) {
	// Jitter one half is no jitter.
	schedule := func(waits ...time.Duration) postern.Policy {
		return postern.Policy{Schedule: append(postern.RetrySchedule{}, waits...), Jitter: 0.5}
	}
	standard := schedule(5*time.Second, 5*time.Minute, 48*time.Hour)
	keep := standard
	keep.KeepEnabled = true
	ok := postern.Attempt{Succeeded: true, Code: 204}
	failed := postern.Attempt{Code: 500}
	gone := postern.Attempt{Code: 410}
	permanent := postern.Attempt{Code: 500, Permanent: true}
	after := func(d time.Duration) postern.Attempt { return postern.Attempt{Code: 503, RetryAfter: d} }
	sending := func(tries int, h postern.Health) postern.Delivery {
		return postern.Delivery{State: postern.Sending, Tries: tries, Health: h}
	}
	ended := func(s postern.State, r postern.Reason, h postern.Health) postern.Delivery {
		return postern.Delivery{State: s, Reason: r, Tries: 1, Health: h}
	}
	resent := postern.Delivery{State: postern.Sending, Tries: 1, Resent: true}
	first := ago(0) // the failure that begins the row of failures

	for name, tc := range map[string]struct {
		delivery postern.Delivery
		attempt  postern.Attempt
		policy   postern.Policy
		want     postern.Outcome
	}{
		"success at the first try": {sending(0, postern.Health{}), ok, standard, postern.Outcome{State: postern.Delivered}},
		"success at the last try":  {sending(3, ago(time.Hour)), ok, standard, postern.Outcome{State: postern.Delivered}},
		"success ends five days of failure": {sending(1, ago(5*day)), ok, standard,
			postern.Outcome{State: postern.Delivered}},
		"success of a disabled endpoint does not enable it": {sending(1, disabled(postern.DisabledGone, day, day)), ok, standard,
			postern.Outcome{State: postern.Delivered, Health: postern.Health{Disabled: postern.DisabledGone, DisabledAt: settleAt().Add(-day)}}},
		"a wish to wait with a success is idle": {sending(0, postern.Health{}), postern.Attempt{Succeeded: true, Code: 202, RetryAfter: time.Hour}, standard,
			postern.Outcome{State: postern.Delivered}},

		"first failure":  {sending(0, postern.Health{}), failed, standard, retrying(1, 5*time.Second, first)},
		"second failure": {sending(1, ago(time.Hour)), failed, standard, retrying(2, 5*time.Minute, ago(time.Hour))},
		"third failure":  {sending(2, ago(time.Hour)), failed, standard, retrying(3, 48*time.Hour, ago(time.Hour))},
		"no answer":      {sending(0, postern.Health{}), postern.Attempt{Failure: "timeout"}, standard, retrying(1, 5*time.Second, first)},
		"a redirect":     {sending(0, postern.Health{}), postern.Attempt{Code: 308}, standard, retrying(1, 5*time.Second, first)},

		"exhausted after four tries":         {sending(3, ago(time.Hour)), failed, standard, dead(postern.ReasonExhausted, ago(time.Hour))},
		"exhausted after two":                {sending(1, postern.Health{}), failed, schedule(time.Second), dead(postern.ReasonExhausted, first)},
		"exhausted at once":                  {sending(0, postern.Health{}), failed, schedule(), dead(postern.ReasonExhausted, first)},
		"exhausted without any schedule":     {sending(0, postern.Health{}), failed, postern.Policy{}, dead(postern.ReasonExhausted, first)},
		"exhausted by a schedule cut short":  {sending(7, postern.Health{}), failed, schedule(time.Second), dead(postern.ReasonExhausted, first)},
		"exhausted, whatever is asked for":   {sending(3, postern.Health{}), after(time.Hour), standard, dead(postern.ReasonExhausted, first)},
		"a longer schedule gives more tries": {sending(3, postern.Health{}), failed, schedule(1e9, 2e9, 3e9, 4e9), retrying(4, 4*time.Second, first)},

		"Retry-After shorter than the wait":     {sending(1, postern.Health{}), after(time.Minute), standard, retrying(2, 5*time.Minute, first)},
		"Retry-After as long as the wait":       {sending(1, postern.Health{}), after(5 * time.Minute), standard, retrying(2, 5*time.Minute, first)},
		"Retry-After longer than the wait":      {sending(1, postern.Health{}), after(time.Hour), standard, retrying(2, time.Hour, first)},
		"Retry-After of 24 h":                   {sending(1, postern.Health{}), after(day), standard, retrying(2, day, first)},
		"Retry-After above 24 h":                {sending(1, postern.Health{}), after(day + 1), standard, retrying(2, day, first)},
		"Retry-After of a century":              {sending(1, postern.Health{}), after(100 * 365 * day), standard, retrying(2, day, first)},
		"a wait above 24 h stays as it is":      {sending(2, postern.Health{}), after(72 * time.Hour), standard, retrying(3, 48*time.Hour, first)},
		"a negative Retry-After shortens none":  {sending(0, postern.Health{}), after(-time.Hour), standard, retrying(1, 5*time.Second, first)},
		"Retry-After is not spread":             {sending(0, postern.Health{}), after(time.Hour), postern.Policy{Schedule: standard.Schedule}, retrying(1, time.Hour, first)},
		"a spread wait is not below":            {sending(1, postern.Health{}), after(270 * time.Second), postern.Policy{Schedule: standard.Schedule}, retrying(2, 270*time.Second, first)},
		"jitter at its lowest takes off 20 %":   {sending(1, postern.Health{}), failed, postern.Policy{Schedule: standard.Schedule}, retrying(2, 4*time.Minute, first)},
		"jitter at three quarters adds 10 %":    {sending(1, postern.Health{}), failed, postern.Policy{Schedule: standard.Schedule, Jitter: 0.75}, retrying(2, 330*time.Second, first)},
		"410 disables and ends":                 {sending(0, postern.Health{}), gone, standard, dead(postern.ReasonGone, disabled(postern.DisabledGone, 0, 0))},
		"410 while most fail disables too":      {sending(0, postern.Health{}), gone, keep, dead(postern.ReasonGone, disabled(postern.DisabledGone, 0, 0))},
		"410 at the last try is still 410":      {sending(3, ago(time.Hour)), gone, standard, dead(postern.ReasonGone, disabled(postern.DisabledGone, time.Hour, 0))},
		"410 after five days is still 410":      {sending(0, ago(6*day)), gone, standard, dead(postern.ReasonGone, disabled(postern.DisabledGone, 6*day, 0))},
		"410 of one disabled for failing":       {sending(0, disabled(postern.DisabledFailing, 6*day, day)), gone, standard, dead(postern.ReasonGone, disabled(postern.DisabledFailing, 6*day, day))},
		"410 with Retry-After is still 410":     {sending(0, postern.Health{}), postern.Attempt{Code: 410, RetryAfter: time.Hour}, standard, dead(postern.ReasonGone, disabled(postern.DisabledGone, 0, 0))},
		"permanent ends and does not disable":   {sending(0, postern.Health{}), permanent, standard, dead(postern.ReasonPermanent, first)},
		"permanent at the last try":             {sending(3, ago(time.Hour)), permanent, standard, dead(postern.ReasonPermanent, ago(time.Hour))},
		"permanent after five days":             {sending(0, ago(5*day)), permanent, standard, dead(postern.ReasonPermanent, disabled(postern.DisabledFailing, 5*day, 0))},
		"a moment short of five days":           {sending(0, ago(5*day-1)), failed, standard, retrying(1, 5*time.Second, ago(5*day-1))},
		"five days: disabled, the row waits":    {sending(0, ago(5*day)), failed, standard, retrying(1, 5*time.Second, disabled(postern.DisabledFailing, 5*day, 0))},
		"five days, the second failure":         {sending(0, seldom(5*day, 1)), failed, standard, retrying(1, 5*time.Second, seldom(5*day, 2))},
		"a month, the nineteenth failure":       {sending(0, seldom(30*day, 18)), failed, standard, retrying(1, 5*time.Second, seldom(30*day, 19))},
		"five days, the twentieth failure":      {sending(0, seldom(5*day, 19)), failed, standard, retrying(1, 5*time.Second, disabled(postern.DisabledFailing, 5*day, 0))},
		"five days at the last try":             {sending(3, ago(9*day)), failed, standard, dead(postern.ReasonExhausted, disabled(postern.DisabledFailing, 9*day, 0))},
		"five days while most endpoints fail":   {sending(0, ago(9*day)), failed, keep, retrying(1, 5*time.Second, ago(9*day))},
		"five days, disabled already":           {sending(0, disabled(postern.DisabledFailing, 9*day, 4*day)), failed, standard, retrying(1, 5*time.Second, disabled(postern.DisabledFailing, 9*day, 4*day))},
		"five days, disabled for 410 already":   {sending(0, disabled(postern.DisabledGone, 9*day, 4*day)), failed, standard, retrying(1, 5*time.Second, disabled(postern.DisabledGone, 9*day, 4*day))},
		"a clock that went back disables none":  {sending(0, ago(-9*day)), failed, standard, retrying(1, 5*time.Second, ago(-9*day))},
		"canceled meanwhile, then success":      {ended(postern.Canceled, postern.ReasonCanceled, ago(day)), ok, standard, postern.Outcome{State: postern.Canceled, Reason: postern.ReasonCanceled}},
		"canceled meanwhile, then failure":      {ended(postern.Canceled, postern.ReasonCanceled, postern.Health{}), failed, standard, postern.Outcome{State: postern.Canceled, Reason: postern.ReasonCanceled, Health: first}},
		"canceled meanwhile, then 410":          {ended(postern.Canceled, postern.ReasonCanceled, postern.Health{}), gone, standard, postern.Outcome{State: postern.Canceled, Reason: postern.ReasonCanceled, Health: disabled(postern.DisabledGone, 0, 0)}},
		"endpoint deleted meanwhile":            {ended(postern.Canceled, postern.ReasonDeleted, postern.Health{}), permanent, standard, postern.Outcome{State: postern.Canceled, Reason: postern.ReasonDeleted, Health: first}},
		"expunged meanwhile, then success":      {ended(postern.Canceled, postern.ReasonExpunged, postern.Health{}), ok, standard, postern.Outcome{State: postern.Canceled, Reason: postern.ReasonExpunged}},
		"expired meanwhile, then success":       {ended(postern.Dead, postern.ReasonExpired, ago(day)), ok, standard, dead(postern.ReasonExpired, postern.Health{})},
		"expired meanwhile, then failure":       {ended(postern.Dead, postern.ReasonExpired, ago(5*day)), failed, standard, dead(postern.ReasonExpired, disabled(postern.DisabledFailing, 5*day, 0))},
		"canceled after a resend":               {postern.Delivery{State: postern.Canceled, Reason: postern.ReasonCanceled, Resent: true}, failed, standard, postern.Outcome{State: postern.Canceled, Reason: postern.ReasonCanceled, Health: first}},
		"resent meanwhile, then success":        {resent, ok, standard, postern.Outcome{State: postern.Delivered}},
		"resent meanwhile, then failure":        {resent, failed, standard, postern.Outcome{State: postern.Retrying, Health: first}},
		"resent meanwhile, then exhausted":      {resent, failed, schedule(), postern.Outcome{State: postern.Retrying, Health: first}},
		"resent meanwhile, then 410":            {resent, gone, standard, postern.Outcome{State: postern.Retrying, Health: disabled(postern.DisabledGone, 0, 0)}},
		"resent meanwhile, then permanent":      {resent, permanent, standard, postern.Outcome{State: postern.Retrying, Health: first}},
		"resent meanwhile, then asked to wait":  {resent, after(time.Hour), standard, postern.Outcome{State: postern.Retrying, Health: first}},
		"zero time is not five days of failing": {sending(0, postern.Health{}), failed, schedule(), dead(postern.ReasonExhausted, first)},
	} {
		if diff := cmp.Diff(tc.want, postern.Settle(tc.delivery, tc.attempt, tc.policy, settleAt())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A schedule of n waits is n+1 tries, for every length that is allowed.
func TestScheduleOfEveryLength(t *testing.T) {
	for n := range 64 {
		policy := postern.Policy{Schedule: make(postern.RetrySchedule, n), Jitter: 0.5}
		for i := range policy.Schedule {
			policy.Schedule[i] = time.Duration(i+1) * time.Second
		}
		d := postern.Delivery{State: postern.Sending}
		tries := 1
		for ; ; tries++ {
			out := postern.Settle(d, postern.Attempt{Code: 500}, policy, settleAt())
			if out.State != postern.Retrying {
				break
			}
			if want := time.Duration(tries) * time.Second; out.Wait != want || out.Tries != tries {
				t.Fatalf("%d waits, try %d: tries %d, wait %v, want %v", n, tries, out.Tries, out.Wait, want)
			}
			d.Tries, d.Health = out.Tries, out.Health
		}
		if tries != n+1 {
			t.Errorf("%d waits are %d tries, want %d", n, tries, n+1)
		}
	}
}

// The arithmetic of waits, over all inputs: within a fifth of the schedule's,
// lengthened by Retry-After up to a day, never shorter, never negative.
func FuzzRetryWait(f *testing.F) {
	f.Add(int64(5*time.Second), uint64(0), int64(0))
	f.Add(int64(time.Millisecond), uint64(1<<53-1), int64(-1))
	f.Add(int64(7*day), uint64(1<<52), int64(day+1))
	f.Add(int64(time.Hour), uint64(1<<51), int64(1<<63-1))
	f.Fuzz(func(t *testing.T, base int64, random uint64, retryAfter int64) {
		wait := time.Duration(base)
		schedule := postern.RetrySchedule{wait}
		if schedule.Validate() != nil {
			return
		}
		jitter := float64(random>>11) / (1 << 53) // [0, 1), as math/rand makes it
		attempt := postern.Attempt{Code: 503, RetryAfter: time.Duration(retryAfter)}
		out := postern.Settle(postern.Delivery{State: postern.Sending}, attempt, postern.Policy{Schedule: schedule, Jitter: jitter}, settleAt())

		asked := min(attempt.RetryAfter, postern.MaxRetryAfter)
		low, high := wait-wait/5, wait+wait/5
		if wait%5 != 0 { // what a division by five leaves
			low, high = low-1, high+1
		}
		if out.Wait < low || out.Wait > max(high, asked) {
			t.Errorf("wait %v, jitter %v, Retry-After %v: %v is outside %v to %v", wait, jitter, attempt.RetryAfter, out.Wait, low, max(high, asked))
		}
		if out.Wait < asked || out.Wait <= 0 || !out.Next.Equal(settleAt().Add(out.Wait)) {
			t.Errorf("wait %v, jitter %v, Retry-After %v: %v, due %v", wait, jitter, attempt.RetryAfter, out.Wait, out.Next)
		}
		if longest := max(schedule.Longest(), asked); out.Wait > longest+1 {
			t.Errorf("wait %v, jitter %v: %v is over the longest, %v", wait, jitter, out.Wait, longest)
		}
	})
}

// What holds for every outcome, whatever the delivery, attempt and policy.
func FuzzSettle(f *testing.F) {
	f.Add(uint8(1), 0, uint8(0), 500, int64(0), uint8(3), uint64(7), int64(0))
	f.Add(uint8(5), 2, uint8(1), 200, int64(time.Hour), uint8(0), uint64(0), int64(6*day))
	f.Add(uint8(1), 3, uint8(2), 410, int64(48*time.Hour), uint8(7), uint64(1<<63), int64(5*day))
	f.Fuzz(func(t *testing.T, state uint8, tries int, flags uint8, code int, retryAfter int64, waits uint8, random uint64, failingFor int64) {
		d := postern.Delivery{State: postern.Sending, Tries: max(tries, 0) % 70, Resent: flags&1 != 0}
		if s := postern.State(state % 6); s.Final() {
			d.State, d.Reason = s, postern.ReasonCanceled
		}
		if failingFor > 0 {
			d.Health = seldom(time.Duration(failingFor), tries&31)
		}
		if flags&2 != 0 {
			d.Health.Disabled, d.Health.DisabledAt = postern.DisabledGone, settleAt()
		}
		a := postern.Attempt{Code: code, Succeeded: code >= 200 && code < 300, Permanent: flags&4 != 0, RetryAfter: time.Duration(retryAfter)}
		p := postern.Policy{Schedule: make(postern.RetrySchedule, waits%64), Jitter: float64(random>>11) / (1 << 53), KeepEnabled: flags&8 != 0}
		for i := range p.Schedule {
			p.Schedule[i] = time.Duration(i+1) * time.Minute
		}
		out := postern.Settle(d, a, p, settleAt())
		for _, rule := range []struct {
			says string
			is   bool
		}{
			{"an attempt settles as what a store can hold", out.State >= postern.Retrying},
			{"what was ended stays ended, for its reason", !d.State.Final() || out.State == d.State && out.Reason == d.Reason},
			{"a success delivers what is not ended", !a.Succeeded || d.State.Final() || out.State == postern.Delivered},
			{"a failure never delivers", a.Succeeded || d.State.Final() || out.State != postern.Delivered},
			{"a row is put for a retry and never over a resend's", !out.PutRow || out.State == postern.Retrying && !d.Resent},
			{"a retry has a row", out.State != postern.Retrying || out.PutRow || d.Resent},
			{"what belongs to a row comes with one", out.PutRow || out.Tries == 0 && out.Wait == 0 && out.Next.IsZero()},
			{"a row counts this try and is due later", !out.PutRow || out.Tries == d.Tries+1 && out.Next.After(settleAt())},
			{"tries never go beyond the schedule", out.Tries <= len(p.Schedule)},
			{"the dead have a reason, retries and deliveries none", d.State.Final() || (out.State == postern.Dead) == (out.Reason != postern.ReasonNone)},
			{"a success clears failing since, a failure sets it", a.Succeeded == out.Health.FailingSince.IsZero()},
			{"failing since never moves", a.Succeeded || d.Health.FailingSince.IsZero() || out.Health.FailingSince.Equal(d.Health.FailingSince)},
			{"nothing enables an endpoint", d.Health.Disabled == "" || out.Health.Disabled == d.Health.Disabled && out.Health.DisabledAt.Equal(d.Health.DisabledAt)},
			{"few failures disable nothing but by 410", a.Code == 410 || d.Health.Failures >= postern.DisableFailures-1 || out.Health.Disabled == d.Health.Disabled},
			{"a success disables nothing", !a.Succeeded || out.Health.Disabled == d.Health.Disabled},
			{"disabled has a time", (out.Health.Disabled == "") == out.Health.DisabledAt.IsZero()},
		} {
			if !rule.is {
				t.Errorf("%s:\n%+v\n%+v\n%+v\n-> %+v", rule.says, d, a, p, out)
			}
		}
	})
}
