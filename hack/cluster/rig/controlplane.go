package rig

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// apiServer is the name of the program that everything else talks to.
const apiServer = "kube-apiserver"

const (
	serviceCIDR = "10.96.0.0/16"
	// apiServiceIP is the first address of serviceCIDR, which the API server takes for itself.
	apiServiceIP = "10.96.0.1"
	podCIDR      = "10.244.0.0/24"
)

// startControlPlane starts etcd, the API server, the controller manager and the scheduler, on the node's address or, without a
// real node, on loopback.
func (c *Cluster) startControlPlane(ctx context.Context, detached bool) error {
	pki := filepath.Join(c.Dir, "pki")
	ca, err := newAuthority(pki, "ca")
	if err != nil {
		return err
	}
	front, err := newAuthority(pki, "front-proxy-ca")
	if err != nil {
		return err
	}
	ports, err := c.ports(5)
	if err != nil {
		return err
	}
	etcdPort, peerPort, apiPort, managerPort, schedulerPort := ports[0], ports[1], ports[2], ports[3], ports[4]
	c.Server = fmt.Sprintf("https://%s:%d", c.NodeIP, apiPort)
	if err := c.writeCredentials(pki, ca, front); err != nil {
		return err
	}

	etcd, err := c.startEtcd(detached, etcdPort, peerPort)
	if err != nil {
		return err
	}
	if err := c.startAPIServer(detached, etcd, apiPort); err != nil {
		return err
	}
	if err := c.waitServer(ctx, ca); err != nil {
		return err
	}
	if err := c.startControllerManager(detached, managerPort); err != nil {
		return err
	}
	return c.startScheduler(detached, schedulerPort)
}

// startEtcd returns where clients find it.
func (c *Cluster) startEtcd(detached bool, clientPort, peerPort int) (string, error) {
	client := fmt.Sprintf("http://127.0.0.1:%d", clientPort)
	peer := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	_, err := c.start(detached, "etcd", c.bin.etcd, "--data-dir", filepath.Join(c.Dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	return client, err
}

func (c *Cluster) startAPIServer(detached bool, etcd string, port int) error {
	args := []string{
		"--etcd-servers=" + etcd,
		"--bind-address=" + c.NodeIP,
		fmt.Sprintf("--secure-port=%d", port),
		"--advertise-address=" + c.NodeIP,
		"--service-cluster-ip-range=" + serviceCIDR,
		"--authorization-mode=Node,RBAC",
		"--allow-privileged=true",
		"--client-ca-file=" + c.pki("ca.crt"),
		"--tls-cert-file=" + c.pki("apiserver.crt"), "--tls-private-key-file=" + c.pki("apiserver.key"),
		"--kubelet-client-certificate=" + c.pki("admin.crt"), "--kubelet-client-key=" + c.pki("admin.key"),
		"--kubelet-certificate-authority=" + c.pki("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + c.pki("service-account.key"),
		"--service-account-key-file=" + c.pki("service-account.pub"),
		"--requestheader-client-ca-file=" + c.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki("front-proxy-client.crt"), "--proxy-client-key-file=" + c.pki("front-proxy-client.key"),
		"--profiling=false",
	}
	if c.RealNode {
		args = append(args, "--enable-aggregator-routing=true")
	} else {
		// An address on loopback is no valid endpoint: without this the API server would end.
		args = append(args, "--endpoint-reconciler-type=none")
	}
	return c.kubernetes(detached, apiServer, args...)
}

// startControllerManager shortens the periods of the HPA: a test waits for seconds where a cluster takes minutes.
func (c *Cluster) startControllerManager(detached bool, port int) error {
	return c.kubernetes(detached, "kube-controller-manager",
		"--kubeconfig="+c.credential("controller-manager"),
		"--authentication-kubeconfig="+c.credential("controller-manager"),
		"--authorization-kubeconfig="+c.credential("controller-manager"),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+c.pki("service-account.key"),
		"--root-ca-file="+c.pki("ca.crt"),
		"--leader-elect=false", "--allocate-node-cidrs=false", "--profiling=false",
		"--horizontal-pod-autoscaler-sync-period=2s",
		"--horizontal-pod-autoscaler-downscale-stabilization=10s",
		"--horizontal-pod-autoscaler-initial-readiness-delay=2s",
	)
}

func (c *Cluster) startScheduler(detached bool, port int) error {
	return c.kubernetes(detached, "kube-scheduler",
		"--kubeconfig="+c.credential("scheduler"),
		"--authentication-kubeconfig="+c.credential("scheduler"),
		"--authorization-kubeconfig="+c.credential("scheduler"),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--leader-elect=false", "--profiling=false",
	)
}

// writeCredentials writes every certificate and client configuration.
func (c *Cluster) writeCredentials(pki string, ca, front *authority) error {
	serving, err := ca.server("kubernetes.default.svc", "kubernetes.default", "kubernetes", "localhost", "127.0.0.1",
		apiServiceIP, c.NodeIP)
	if err != nil {
		return err
	}
	proxy, err := front.client("front-proxy-client")
	if err != nil {
		return err
	}
	kubelet, err := ca.server(NodeName, c.NodeIP, "127.0.0.1")
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := publicPEM(key.Public())
	if err != nil {
		return err
	}
	errs := []error{
		serving.write(pki, "apiserver"), proxy.write(pki, "front-proxy-client"), kubelet.write(pki, "kubelet"),
		os.WriteFile(filepath.Join(pki, "service-account.pub"), public, 0o644),
		os.WriteFile(filepath.Join(pki, "service-account.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600),
	}
	for _, who := range []struct {
		name, user string
		groups     []string
	}{
		{"admin", "admin", []string{"system:masters"}},
		{"kwok", "kwok", []string{"system:masters"}},
		{"controller-manager", "system:kube-controller-manager", nil},
		{"scheduler", "system:kube-scheduler", nil},
		{"proxy", "system:kube-proxy", nil},
		{"node", "system:node:" + NodeName, []string{"system:nodes"}},
	} {
		client, err := ca.client(who.user, who.groups...)
		if err != nil {
			return err
		}
		errs = append(errs, client.write(pki, who.name),
			os.WriteFile(c.credential(who.name), kubeconfig(c.Server, ca.pem, client), 0o600))
		if who.name == "admin" {
			errs = append(errs, os.WriteFile(c.Kubeconfig, kubeconfig(c.Server, ca.pem, client), 0o600))
		}
	}
	return errors.Join(errs...)
}

// pki is the path of a certificate or key.
func (c *Cluster) pki(name string) string { return filepath.Join(c.Dir, "pki", name) }

// credential is the path of a component's client configuration.
func (c *Cluster) credential(name string) string { return c.pki(name + ".kubeconfig") }

// UserConfig writes the client configuration of a user with a certificate of the cluster, and returns its path.
func (c *Cluster) UserConfig(user string, groups ...string) (string, error) {
	ca, err := loadAuthority(filepath.Join(c.Dir, "pki"), "ca")
	if err != nil {
		return "", err
	}
	client, err := ca.client(user, groups...)
	if err != nil {
		return "", err
	}
	path := c.credential("user-" + user)
	return path, os.WriteFile(path, kubeconfig(c.Server, ca.pem, client), 0o600)
}

// ports returns n ports: the usual ones in a network namespace of our own, free ones on loopback.
func (c *Cluster) ports(n int) ([]int, error) {
	if c.RealNode {
		return []int{2379, 2380, 6443, 10257, 10259}[:n], nil
	}
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// waitServer waits until the API server says that it is ready.
func (c *Cluster) waitServer(ctx context.Context, ca *authority) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	err := c.poll(ctx, 50*time.Millisecond, func() error {
		response, err := client.Get(c.Server + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, lastLines(body, 5))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for the API server: %w", err)
	}
	return nil
}

// poll calls f until it returns nil, a program of the cluster ends, or ctx does.
func (c *Cluster) poll(ctx context.Context, every time.Duration, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		if ended := c.ended(); ended != nil {
			return errors.Join(ended, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(every):
		}
	}
}
