package console

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

// TestTextStandsOutFromItsGround: what is written in a colour of the page has a contrast of at least 4.5 to the ground that it stands on
// where it is grey, and of 3 where its colour says something besides (WCAG 2.2, 1.4.3 and 1.4.11), in both themes.
func TestTextStandsOutFromItsGround(t *testing.T) {
	file := func(name string) string {
		data, err := static.ReadFile("static/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	css := file("console.css")
	used := map[string]bool{}
	for _, found := range regexp.MustCompile(`[^-]color: var\(--(\w+)\)`).FindAllStringSubmatch(css, -1) {
		used[found[1]] = true
	}
	for _, found := range regexp.MustCompile(`muted = css\('(\w+)'\)`).FindAllStringSubmatch(file("charts.js"), -1) {
		used[found[1]] = true // the numbers of the axes
	}
	themes := regexp.MustCompile(`:root[^{]*\{[^}]*\}`).FindAllString(css, -1)
	if len(themes) != 2 || len(used) < 5 {
		t.Fatalf("found %d themes and %d colours of text", len(themes), len(used))
	}
	for _, theme := range themes {
		luminance := map[string]float64{}
		for _, found := range regexp.MustCompile(`--(\w+): #([0-9a-f]{6})`).FindAllStringSubmatch(theme, -1) {
			rgb, err := strconv.ParseUint(found[2], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
				c := float64(rgb>>(8*i)&255) / 255
				if c <= 0.04045 {
					c /= 12.92
				} else {
					c = math.Pow((c+0.055)/1.055, 2.4)
				}
				luminance[found[1]] += weight * c
			}
		}
		for name := range used {
			want := 3.0
			if name == "text" || name == "muted" || name == "faint" {
				want = 4.5
			}
			for _, ground := range []string{"page", "card"} {
				light, dark := max(luminance[name], luminance[ground]), min(luminance[name], luminance[ground])
				if ratio := (light + 0.05) / (dark + 0.05); ratio < want {
					t.Errorf("%s on %s: a contrast of %.2f, want %.1f, in %.60s", name, ground, ratio, want, theme)
				}
			}
		}
	}
}
