package rig

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// nodeParts are the programs of a real node and the Debian packages that hold them.
var nodeParts = []struct{ file, pkg string }{
	{"containerd", "containerd"},
	{"runc", "runc"},
	{cniPlugins + "/ptp", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"conntrack", "conntrack"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
}

// cniPlugins is where Debian keeps the network plugins.
const cniPlugins = "/usr/lib/cni"

// MissingError says why there can be no real node, and what to do.
type MissingError struct{ Reason, Remedy string }

func (e *MissingError) Error() string { return e.Reason + ": " + e.Remedy }

// sbinPath is PATH with the directories where the node's programs are; a user's PATH may lack them.
func sbinPath() string { return os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin" }

func missingPackages() (pkgs []string) {
	for _, part := range nodeParts {
		found := false
		for _, dir := range strings.Split(sbinPath(), ":") {
			path := dir + "/" + part.file
			if strings.HasPrefix(part.file, "/") {
				path = part.file
			}
			if _, err := os.Stat(path); err == nil {
				found = true
				break
			}
		}
		if !found {
			pkgs = append(pkgs, part.pkg)
		}
	}
	return pkgs
}

// prepareNode makes sure that a real node can be run here, installing Debian packages that are missing. It returns a
// *MissingError where it cannot.
func prepareNode(ctx context.Context, log io.Writer) error {
	if os.Geteuid() != 0 {
		return &MissingError{"a real node needs root for its namespaces", "run this as root"}
	}
	pkgs := missingPackages()
	if len(pkgs) == 0 {
		return nil
	}
	install := "apt-get install -y --no-install-recommends " + strings.Join(pkgs, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return &MissingError{"a real node needs the programs of " + strings.Join(pkgs, ", "), "install them by hand"}
	}
	fmt.Fprintf(log, "cluster: installing Debian packages for the real node: %s\n", strings.Join(pkgs, " "))
	// RUNLEVEL=1 keeps the packages from starting their services: the rig starts its own.
	script := "apt-get update -qq; " + strings.Replace(install, "apt-get", "apt-get -qq -o DPkg::Lock::Timeout=300", 1)
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return &MissingError{fmt.Sprintf("installing the packages of a real node failed (%v: %s)", err, lastLines(out, 3)), install}
	}
	if left := missingPackages(); len(left) > 0 {
		return &MissingError{"a real node needs the programs of " + strings.Join(left, ", "), install}
	}
	return nil
}

// lastLines returns the last n lines of some output.
func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
