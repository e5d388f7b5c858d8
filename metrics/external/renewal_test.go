package external

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheSelfSignedCertificateIsRenewed lets a hundred days go by: at every hour the certificate that is served is good for days more,
// and clients that trust the authority of the first go on trusting.
func TestTheSelfSignedCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{cfg: Config{Hosts: []string{"prescale.svc"}}, logger: slog.New(slog.DiscardHandler)}
		if err := s.loadCertificate(time.Now()); err != nil {
			t.Fatal(err)
		}
		served := func() *x509.Certificate {
			text, _ := s.cert.CurrentCertKeyContent()
			block, _ := pem.Decode(text)
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(s.authority.CertPEM())
		ctx, cancel := context.WithCancel(t.Context())
		go s.renewSelfSigned(ctx)
		serials := map[string]bool{}
		for range 100 * 24 {
			time.Sleep(time.Hour)
			synctest.Wait()
			c := served()
			serials[c.SerialNumber.String()] = true
			if left := time.Until(c.NotAfter); left < 9*24*time.Hour {
				t.Fatalf("it is good for %v more, want days", left)
			}
			if _, err := c.Verify(x509.VerifyOptions{Roots: trusted, DNSName: "prescale.svc", CurrentTime: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if n := len(serials); n != 5 && n != 6 { // each is replaced after twenty of its thirty days
			t.Errorf("%d certificates within a hundred days, want one every twenty", n)
		}
	})
}
