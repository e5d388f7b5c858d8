// Package browser opens pages in a real Chromium for tests: it evaluates JavaScript in them, waits for what it says, and
// takes screenshots into the repository's folder artefacts/, which git ignores.
package browser

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Page is an open page. It is closed with the test. Its methods fail the test.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

// candidates are the names that Chromium has on the systems we know.
var candidates = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// Find returns the path of a Chromium, or "".
func Find() string {
	for _, name := range candidates {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Open opens the page in a viewport of width × height, in dark or light colours. Without a Chromium the test is skipped, or fails
// where CI is set.
func Open(t testing.TB, url string, width, height int64, scheme string) *Page {
	t.Helper()
	path := Find()
	if path == "" {
		const missing = "no Chromium found: apt-get install --no-install-recommends chromium fonts-dejavu-core"
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.WSURLReadTimeout(time.Minute),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses to run as root.
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	p := &Page{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				p.problem(m.String())
			}
		}
	}()
	p.run(
		chromedp.EmulateViewport(width, height),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, media)
			return err
		}),
	)
	p.Navigate(url)
	return p
}

// Navigate opens another page.
func (p *Page) Navigate(url string) { p.run(chromedp.Navigate(url)) }

func (p *Page) problem(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, s)
}

// Problems returns the exceptions, errors and warnings that the page has had.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.problems...)
}

func (p *Page) run(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.fatal(err)
	}
}

func (p *Page) fatal(err error) {
	p.t.Helper()
	p.t.Fatalf("browser: %v; the page says: %q", err, p.Problems())
}

// Eval evaluates the expression and decodes its value, as JSON, into out.
func (p *Page) Eval(expression string, out any) {
	p.t.Helper()
	encoded, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("JSON.stringify("+expression+")"))
	if err != nil {
		p.fatal(err)
	}
	if err := json.Unmarshal([]byte(encoded), out); err != nil {
		p.t.Fatalf("browser: %s gave %q: %v", expression, encoded, err)
	}
}

// Wait polls the expression until it is true.
func (p *Page) Wait(expression string, limit time.Duration) {
	p.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		var ok bool
		p.Eval("!!("+expression+")", &ok)
		if ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("browser: after %v still not true: %s; the page says: %q", limit, expression, p.Problems())
		}
	}
}

// Resize changes the viewport.
func (p *Page) Resize(width, height int64) { p.run(chromedp.EmulateViewport(width, height)) }

// Screenshot writes what is to be seen to artefacts/name.png and returns the path.
func (p *Page) Screenshot(name string) string {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.fatal(err)
	}
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", "artefacts", name+".png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("screenshot: %s", path)
	return path
}
