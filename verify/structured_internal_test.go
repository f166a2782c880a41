package verify

import (
	"strings"
	"testing"
)

func TestFieldsAreWrittenInOneWay(t *testing.T) {
	for text, want := range map[string]string{
		``:                  ``,
		`a`:                 `a=?1`,
		`a=?0;b`:            `a=?0;b`,
		` a=1 ,	b="x y" `:   `a=1 b="x y"`,
		`a=(1   "b" );c=2`:  `a=(1 "b");c=2`,
		`a=()`:              `a=()`,
		`a=("@method";req)`: `a=("@method";req)`,
		`a=:aGk=:`:          `a=:aGk=:`,
		`a=:aGk:`:           `a=:aGk=:`,
		`a="\"\\"`:          `a="\"\\"`,
		`a=-007;x=*tok/en`:  `a=-7;x=*tok/en`,
		`a=1.50, b=-0.0`:    `a=1.5 b=-0.0`,
		`a=Tok:en;  b=?1`:   `a=Tok:en;b`,
		`*a-_.0=1`:          `*a-_.0=1`,
		`a=999999999999999`: `a=999999999999999`,
		`a=123456789012.12`: `a=123456789012.12`,
	} {
		members, err := parseDictionary(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		parts := make([]string, len(members))
		for i, m := range members {
			parts[i] = m.name + "=" + m.item.String()
		}
		if got := strings.Join(parts, " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestMalformedFieldsAreRefused(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("a,", maxMembers+1), ",")
	for _, text := range []string{
		`,`, `a,`, `a,,b`, `a b`, `A=1`, `a=`, `a==1`, `=1`, `1=1`, `a;`, `a;=1`, `a;b=`, `a;B`, `a=1;b;b`, `a=1, a=2`, `a, a`,
		`a="`, `a="\`, `a="\a"`, "a=\"\n\"", `a="é"`, `a=:aGk`, `a=:a b:`, `a=:=:`, "a=:aG\nk=:", `a=?2`, `a=?`, `a=-`, `a=1.`, `a=1.1234`,
		`a=1234567890123456`, `a=1234567890123.1`, `a=(`, `a=(1`, `a=(1,2)`, `a=(1"b")`, `a=((1))`, `a=(1;)`, `a=@x`, "a=1\n", "\ta", "a=\x00",
		"a=(" + strings.Repeat("1 ", maxMembers+2) + ")", "a" + strings.Repeat(";b", maxMembers+1), many, strings.Repeat("a", maxField+1),
	} {
		if members, err := parseDictionary(text); err == nil {
			t.Errorf("%.40q was read as %v", text, members)
		}
	}
}
