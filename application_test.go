package postern

import "testing"

func TestNewestSchema(t *testing.T) {
	for want, versions := range map[string][]string{
		"": {}, "1": {"1"}, "10": {"2", "10", "9"}, "010": {"010", "10", "9"}, "3": {"3", "draft", "v9"}, "v9": {"v10", "v9", "a"},
		"18446744073709551615": {"18446744073709551615", "99999999999999999999x"},
	} {
		schemas := map[string][]byte{}
		for _, v := range versions {
			schemas[v] = []byte(v)
		}
		version, schema := (&EventType{Schemas: schemas}).NewestSchema()
		if want == "010" {
			want = "10" // equal as numbers, later as texts
		}
		if version != want || string(schema) != want {
			t.Errorf("%v: %q, want %q", versions, version, want)
		}
	}
}
