package config

import "strings"

// Nearest is the name of names that word begins, or else the one that takes the
// fewest insertions, deletions and replacements of characters to reach; the
// first of equals. It is empty only if names is.
func Nearest(word string, names []string) string {
	best, least := "", 0
	for _, name := range names {
		if word != "" && strings.HasPrefix(name, word) {
			return name
		}
		if d := distance(word, name); best == "" || d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is Levenshtein's. A word from a user is cut at 64 bytes: no name is
// that long, and the cost grows with the length.
func distance(a, b string) int {
	a = a[:min(len(a), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
