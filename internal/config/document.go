package config

import (
	"fmt"
	"strings"
)

// Document is docs/configuration.md.
func Document() string {
	var b strings.Builder
	b.WriteString(documentHead)
	for _, s := range (&Config{}).settings() {
		preset := "not set"
		if s.preset != "" {
			preset = "`" + s.preset + "`"
		}
		fmt.Fprintf(&b, "| `%s=%s` | `%s` | %s | %s |\n", s.flag(), s.form, s.variable(), preset, s.help)
	}
	b.WriteString(documentTail)
	return b.String()
}

const documentHead = `# Configuration

<!-- Written by make docs from internal/config/settings.go; a test compares the two. -->

Postern starts without any setting. Each setting is a flag, a variable and a key
of the YAML file that ` + "`--config`" + ` names; the key is the flag without its dashes.
A flag beats a variable, a variable beats the file, the file beats the default.
` + "`postern config`" + ` prints every setting, the value in force and where it came
from, with secrets masked.

| flag | variable | default | meaning |
|---|---|---|---|
`

const documentTail = `
## Writing values

- A duration is a number with a unit: ` + "`500ms`, `20s`, `5m`, `36h`, `30d`" + `, or several: ` + "`1d12h`" + `.
- A size is bytes, or a whole number with ` + "`KiB`, `MiB`, `GiB`" + ` (1024s) or ` + "`kB`, `MB`, `GB`" + ` (1000s).
- A list is separated by commas; in the file it may be a YAML list.
- An empty value counts as not given.
- An unknown flag, key or ` + "`POSTERN_`" + ` variable is an error that names the nearest
  one. ` + "`POSTERN_SERVICE_*` and `POSTERN_PORT*`" + ` are ignored: Kubernetes sets them
  for a service that is called postern.
- Other users of a machine can see flags. Give ` + "`admin-key`, `secret-key`, `jwt-secret`" + ` and
  passwords in a variable or in the file.

## A file

` + "```yaml" + `
listen: 0.0.0.0:8080
store: file:/var/lib/postern
public-url: https://hooks.example.com
retention: 14d
retry-schedule: [10s, 1m, 10m, 1h, 6h]
egress-allow:
  - 10.20.0.0/16
` + "```" + `
`
