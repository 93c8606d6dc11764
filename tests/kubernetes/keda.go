package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// KEDA's operator is upstream's program, and its metrics server made of upstream's parts, both built by tests/keda/build beside the definitions. Its
// admission webhook is not among them.

// The account that it acts as, which may do everything.
const kedaAccount = "keda-operator"

// It works for all namespaces, and is in one itself.
var kedaNamespaces = []string{"WATCH_NAMESPACE=", "POD_NAMESPACE=kube-system", "KEDA_CLUSTER_OBJECT_NAMESPACE=kube-system"}

// kedaDefinitions are the definitions of KEDA's kinds.
func kedaDefinitions(keda string) ([]file, error) {
	names, err := filepath.Glob(filepath.Join(keda, "definitions", "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there are no definitions of KEDA in %s", keda)
	}
	slices.Sort(names)
	var files []file
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, []byte(strings.TrimPrefix(string(text), "---\n"))})
	}
	return files, nil
}

// kedaMetrics has external.metrics.k8s.io served by the metrics server, reached as metrics.k8s.io is (objects/metrics.yaml).
func kedaMetrics(port int) file {
	return file{"external.metrics.k8s.io", fmt.Appendf(nil, `apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: v1beta1.external.metrics.k8s.io }
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: { name: metrics, namespace: kube-system, port: %d }
`, port)}
}

// startKEDA starts the operator, and the metrics server that asks it; all of it on loopback, with the account's certificate.
func startKEDA(folder, keda string, operatorPort, metricsPort int) error {
	in := func(name string) string { return filepath.Join(folder, name) }
	keda, err := filepath.Abs(keda)
	if err != nil {
		return err
	}
	certificates, account := in("keda-certificates"), in(kedaAccount+".kubeconfig")
	if err := os.Mkdir(certificates, 0o700); err != nil {
		return err
	}
	for name, file := range map[string]string{"ca.crt": "ca.crt", "tls.crt": kedaAccount + ".crt", "tls.key": kedaAccount + ".key"} {
		if err := os.Symlink(in(file), filepath.Join(certificates, name)); err != nil {
			return err
		}
	}
	operator := fmt.Sprintf("127.0.0.1:%d", operatorPort)
	if err := declareOther(folder, "keda-operator", filepath.Join(keda, "operator"), "--kubeconfig", account, "--cert-dir", certificates,
		"--metrics-service-bind-address", operator, "--metrics-bind-address", "0", "--health-probe-bind-address", "0",
		"--kube-api-qps", "100", "--kube-api-burst", "200", "--zap-log-level", "error"); err != nil {
		return err
	}
	return declareOther(folder, "keda-adapter", filepath.Join(keda, "adapter"), "--kubeconfig", account, "--cert-dir", certificates,
		"--metrics-service-address", operator, "--bind-address", "127.0.0.1", "--secure-port", fmt.Sprint(metricsPort),
		"--tls-cert-file", filepath.Join(certificates, "tls.crt"), "--tls-private-key-file", filepath.Join(certificates, "tls.key"),
		"--client-ca-file", in("ca.crt"), "--lister-kubeconfig", account, "--authentication-kubeconfig", account,
		"--authorization-kubeconfig", account, "--zap-log-level", "error")
}
