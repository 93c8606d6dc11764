package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The processes of a cluster are children of nobody: each leaves NAME.args, NAME.pid and NAME.log in the cluster's folder, by which it is
// started again and stopped.

// start starts the process that was declared under this name, and does not wait until it is ready.
func start(folder, name string) error {
	text, err := os.ReadFile(filepath.Join(folder, name+".args"))
	if err != nil {
		return fmt.Errorf("%s has never been started in %s: %w", name, folder, err)
	}
	var args []string
	if err := json.Unmarshal(text, &args); err != nil || len(args) == 0 {
		return fmt.Errorf("%s.args does not say how %s is started: %w", name, name, err)
	}
	if pid, alive := processOf(folder, name); alive {
		return fmt.Errorf("%s runs already, as process %d", name, pid)
	}
	program := args[0]
	if filepath.IsAbs(program) {
		args = args[1:]
	} else if program, err = os.Executable(); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(folder, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr, command.Dir = log, log, folder
	// Two cores are shared with what is tested.
	command.Env = append(append(os.Environ(), "GOMAXPROCS=2", "GOGC=200"), kedaNamespaces...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return err
	}
	// The start time tells the process from a later one with its number.
	pid := command.Process.Pid
	if err := os.WriteFile(filepath.Join(folder, name+".pid"), []byte(fmt.Sprintf("%d %s\n", pid, startOf(pid))), 0o600); err != nil {
		return err
	}
	return command.Process.Release()
}

// declare writes down how a process of this program is started, and starts it.
func declare(folder, name string, args ...string) error {
	return declareOther(folder, name, name, args...)
}

// declareOther does so with another program, by its absolute path.
func declareOther(folder, name, program string, args ...string) error {
	text, err := json.Marshal(append([]string{program}, args...))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, name+".args"), text, 0o600); err != nil {
		return err
	}
	return start(folder, name)
}

// stop ends every process of the cluster, the last started first.
func stop(folder string) error {
	var problems []error
	for _, name := range []string{"keda-adapter", "keda-operator", "kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "surroundings", "etcd"} {
		if pid, alive := processOf(folder, name); alive {
			// Nothing of it is kept, so there is nothing to put in order first.
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				problems = append(problems, fmt.Errorf("%s, process %d: %w", name, pid, err))
			}
		}
		_ = os.Remove(filepath.Join(folder, name+".pid"))
	}
	return errors.Join(problems...)
}

// processOf tells the process that runs under this name, and whether it does.
func processOf(folder, name string) (int, bool) {
	text, err := os.ReadFile(filepath.Join(folder, name+".pid"))
	if err != nil {
		return 0, false
	}
	number, began, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0, false
	}
	now := startOf(pid)
	return pid, now != "" && now == began
}

// startOf is when a process began, in the system's ticks; empty where there is none, or only its remains.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// What is in brackets is its name, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// freePorts are ports that nobody listens on now.
func freePorts(count int) ([]int, error) {
	ports := make([]int, 0, count)
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// until asks again and again, for a limited time.
func until(what string, limit time.Duration, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
