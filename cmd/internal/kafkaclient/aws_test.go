package kafkaclient

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/prescale/prescale/metrics/collector/kafka"
)

const (
	awsHost, awsRegion = "b-1.demo.abcde.c3.kafka.eu-west-1.amazonaws.com", "eu-west-1"
	awsSecret          = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
	awsToken           = "a session/token+with=signs"
)

// mskBroker speaks as much Kafka as a client needs to get in by AWS_MSK_IAM: it takes a payload whose Signature Version 4
// is that of the key and secret, and refuses every other.
type mskBroker struct {
	key, secret, token string
	// failed is called with what is wrong with a payload apart from its signature.
	failed func(format string, args ...any)
}

// dial connects to a broker in this process, under whatever name.
func (b *mskBroker) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() { defer ours.Close(); b.serve(ours) }()
	return theirs, nil
}

// serve answers requests. Of the versions it names none has a flexible response header.
func (b *mskBroker) serve(conn net.Conn) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		body := frame[10+binary.BigEndian.Uint16(frame[8:]):]
		var response kmsg.Response
		switch kmsg.Key(key) {
		case kmsg.ApiVersions:
			versions := kmsg.NewPtrApiVersionsResponse()
			for key, highest := range map[kmsg.Key]int16{kmsg.ApiVersions: 3, kmsg.Metadata: 8, kmsg.SASLHandshake: 1, kmsg.SASLAuthenticate: 1, kmsg.ListOffsets: 7, kmsg.OffsetFetch: 8} {
				each := kmsg.NewApiVersionsResponseApiKey()
				each.ApiKey, each.MaxVersion = int16(key), highest
				versions.ApiKeys = append(versions.ApiKeys, each)
			}
			response = versions
		case kmsg.SASLHandshake:
			handshake := kmsg.NewPtrSASLHandshakeResponse()
			handshake.SupportedMechanisms = []string{"AWS_MSK_IAM"}
			response = handshake
		case kmsg.SASLAuthenticate:
			request := kmsg.NewPtrSASLAuthenticateRequest()
			request.SetVersion(version)
			if err := request.ReadFrom(body); err != nil {
				b.failed("SASLAuthenticate: %v", err)
			}
			answer := kmsg.NewPtrSASLAuthenticateResponse()
			if b.accepts(request.SASLAuthBytes) {
				answer.SASLAuthBytes = []byte(`{"version":"2020_10_22","request-id":"1"}`)
			} else {
				answer.ErrorCode = kerr.SaslAuthenticationFailed.Code
				answer.ErrorMessage = kmsg.StringPtr("Access denied")
			}
			response = answer
		case kmsg.Metadata:
			metadata := kmsg.NewPtrMetadataResponse()
			broker := kmsg.NewMetadataResponseBroker()
			broker.NodeID, broker.Host, broker.Port = 1, awsHost, 9098
			metadata.Brokers = append(metadata.Brokers, broker)
			response = metadata
		default:
			b.failed("a request that the broker did not name: key %d", key)
			return
		}
		response.SetVersion(version)
		out := response.AppendTo(append(make([]byte, 4), frame[4:8]...))
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// accepts checks a payload: its form by the AWS MSK IAM library ("Details" in its README), its signature by "Create a signed
// AWS API request" of the AWS IAM user guide.
func (b *mskBroker) accepts(payload []byte) bool {
	var fields map[string]string
	if err := json.Unmarshal(payload, &fields); err != nil {
		b.failed("payload %q: %v", payload, err)
		return false
	}
	want := []string{"action", "host", "user-agent", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signature", "x-amz-signedheaders"}
	if b.token != "" {
		want = append(want, "x-amz-security-token")
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		b.failed("keys of the payload: got %v, want %v", got, want)
	}
	at, err := time.Parse("20060102T150405Z", fields["x-amz-date"])
	if age := time.Since(at); err != nil || age < -time.Minute || age > 5*time.Minute {
		b.failed("x-amz-date: %q is not now: %v", fields["x-amz-date"], err)
	}
	scope := at.Format("20060102") + "/" + awsRegion + "/kafka-cluster/aws4_request"
	for key, value := range map[string]string{
		"action": "kafka-cluster:Connect", "host": awsHost, "version": "2020_10_22", "x-amz-algorithm": "AWS4-HMAC-SHA256",
		"x-amz-credential": b.key + "/" + scope, "x-amz-signedheaders": "host", "x-amz-security-token": b.token,
	} {
		if fields[key] != value {
			b.failed("%s: got %q, want %q", key, fields[key], value)
		}
	}

	// Names and values of the query, sorted; spaces are %20.
	var query []string
	for _, name := range []string{"Action", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-SignedHeaders"} {
		if value, ok := fields[strings.ToLower(name)]; ok {
			query = append(query, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
		}
	}
	none := sha256.Sum256(nil)
	canonical := sha256.Sum256(fmt.Appendf(nil, "GET\n/\n%s\nhost:%s\n\nhost\n%x", strings.Join(query, "&"), awsHost, none))
	toSign := fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", fields["x-amz-date"], scope, canonical)
	key := []byte("AWS4" + b.secret)
	for _, part := range append(strings.Split(scope, "/"), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return fields["x-amz-signature"] == hex.EncodeToString(key)
}

// TestAWSMSKIAM gets into a broker that verifies the signed payload, by credentials in files that are rotated meanwhile.
func TestAWSMSKIAM(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The host tells the region; the environment is of no account.
	t.Setenv("AWS_REGION", "us-east-1")
	for _, token := range []string{"", awsToken} {
		broker := &mskBroker{key: "AKIDEXAMPLE", secret: awsSecret, token: token, failed: t.Errorf}
		config := Config{Brokers: []string{awsHost + ":9098"}, TLS: &TLS{}, SASL: &SASL{
			Mechanism: AWSMSKIAM, AccessKeyIDFile: write("id", "AKIDEXAMPLE\n"), SecretAccessKeyFile: write("secret", "an old one"),
		}}
		if token != "" {
			config.SASL.SessionTokenFile = write("token", token+"\n")
		}
		if err := config.Validate(); err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(config.Brokers...), kgo.Dialer(broker.dial), kgo.SASL(config.SASL.mechanism()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		settings := kafka.DefaultConfig()
		settings.Cluster, settings.Security = "main", config.Security()
		collector, err := kafka.New(settings, client, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = collector.Collect(t.Context(), time.Now())
		for _, part := range []string{"cluster main", "(AWS_MSK_IAM over TLS)", "SASL_AUTHENTICATION_FAILED"} {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("an old secret: got %v, want it to say %q", err, part)
			}
		}
		for _, secret := range []string{"an old one", awsToken} {
			if strings.Contains(fmt.Sprint(err), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
		}
		write("secret", awsSecret+"\n")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := client.Ping(ctx); err != nil {
			t.Errorf("after the rotation: %v", err)
		}
		cancel()
	}
}
