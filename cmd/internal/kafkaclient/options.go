package kafkaclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// dialTimeout bounds one connection attempt, TLS handshake included.
const dialTimeout = 5 * time.Second

// Options returns the client options for the cluster. The config must be valid. The files that it names are read when a
// connection is made, so their problems come up as connection errors, with the file's name.
func (c Config) Options() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.ClientID("prescale")}
	if c.TLS != nil {
		opts = append(opts, kgo.Dialer(c.TLS.dial))
	} else {
		opts = append(opts, kgo.DialTimeout(dialTimeout))
	}
	if c.SASL != nil {
		opts = append(opts, kgo.SASL(c.SASL.mechanism()))
	}
	return opts
}

// dial reads the files anew for each connection: connections are few, and a rotated secret is in use at once.
func (t *TLS) dial(ctx context.Context, network, address string) (net.Conn, error) {
	cfg, err := t.config()
	if err != nil {
		return nil, err
	}
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		cfg.ServerName = host
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: cfg}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return dialer.DialContext(ctx, network, address)
}

func (t *TLS) config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.caFile: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.caFile: %s holds no certificate in PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.certFile: %w", err)
		}
		// A broker that refuses an expired certificate closes the connection and says little.
		if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
			return nil, fmt.Errorf("tls.certFile: the certificate in %s expired at %s", t.CertFile,
				pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// mechanism returns the SASL mechanism, which asks for its secret at each authentication.
func (s *SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case ScramSHA256:
		return scram.Sha256(s.scramAuth)
	case ScramSHA512:
		return scram.Sha512(s.scramAuth)
	case OAuthBearer:
		return oauth.Oauth(s.tokens())
	case AWSMSKIAM:
		return aws.ManagedStreamingIAM(s.awsAuth)
	default:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := secret("sasl.passwordFile", s.PasswordFile)
			return plain.Auth{User: s.Username, Pass: password}, err
		})
	}
}

func (s *SASL) scramAuth(context.Context) (scram.Auth, error) {
	password, err := secret("sasl.passwordFile", s.PasswordFile)
	return scram.Auth{User: s.Username, Pass: password}, err
}

// tokens returns the source of bearer tokens. Fetched ones are kept until shortly before they end.
func (s *SASL) tokens() func(context.Context) (oauth.Auth, error) {
	if s.ClientCredentials == nil {
		return func(context.Context) (oauth.Auth, error) {
			token, err := secret("sasl.tokenFile", s.TokenFile)
			return oauth.Auth{Token: token}, err
		}
	}
	cc := s.ClientCredentials
	fetch := func(ctx context.Context) (*oauth2.Token, error) {
		clientSecret, err := secret("sasl.clientCredentials.clientSecretFile", cc.ClientSecretFile)
		if err != nil {
			return nil, err
		}
		grant := clientcredentials.Config{ClientID: cc.ClientID, ClientSecret: clientSecret, TokenURL: cc.TokenURL, Scopes: cc.Scopes}
		token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Timeout: dialTimeout}))
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) {
			// The body is the server's and may repeat what it was sent; the codes say enough.
			return nil, fmt.Errorf("sasl.clientCredentials.tokenURL: %s refused: %s %s", cc.TokenURL, refused.Response.Status,
				refused.ErrorCode)
		}
		if err != nil {
			return nil, fmt.Errorf("sasl.clientCredentials.tokenURL: %s: %w", cc.TokenURL, err)
		}
		return token, nil
	}
	kept := make(chan *oauth2.Token, 1)
	kept <- nil
	return func(ctx context.Context) (oauth.Auth, error) {
		token := <-kept
		defer func() { kept <- token }()
		if !token.Valid() {
			fetched, err := fetch(ctx)
			if err != nil {
				return oauth.Auth{}, err
			}
			token = fetched
		}
		return oauth.Auth{Token: token.AccessToken}, nil
	}
}

func (s *SASL) awsAuth(context.Context) (aws.Auth, error) {
	if s.AccessKeyIDFile == "" {
		auth := aws.Auth{
			AccessKey:    os.Getenv("AWS_ACCESS_KEY_ID"),
			SecretKey:    os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		}
		if auth.AccessKey == "" || auth.SecretKey == "" {
			return aws.Auth{}, errors.New("sasl.accessKeyIDFile: not set, and neither are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		return auth, nil
	}
	var auth aws.Auth
	var err error
	if auth.AccessKey, err = secret("sasl.accessKeyIDFile", s.AccessKeyIDFile); err != nil {
		return aws.Auth{}, err
	}
	if auth.SecretKey, err = secret("sasl.secretAccessKeyFile", s.SecretAccessKeyFile); err != nil {
		return aws.Auth{}, err
	}
	if s.SessionTokenFile != "" {
		if auth.SessionToken, err = secret("sasl.sessionTokenFile", s.SessionTokenFile); err != nil {
			return aws.Auth{}, err
		}
	}
	return auth, nil
}

// secret reads a secret from its file, without the line's end. Errors name the key and the file, never the content.
func secret(key, file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	data = bytes.TrimRight(data, "\r\n")
	if len(data) == 0 {
		return "", fmt.Errorf("%s: %s is empty", key, file)
	}
	return string(data), nil
}
