package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
)

// The ticket service of the scaling procedure, as far as playbooks call it. Pods of any workload answer as it does.
type tickets struct {
	token string
	mutex sync.Mutex
	// How often the caches of an event were filled.
	fills map[string]int
	// The answers by idempotency key.
	answered map[string]string
	// The pods whose pool is open, by uid.
	warm map[string]bool
}

func newTickets(token string) *tickets {
	return &tickets{token: token, fills: map[string]int{}, answered: map[string]string{}, warm: map[string]bool{}}
}

// ServeHTTP answers as the Service does.
func (t *tickets) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.serve(w, r, nil) }

func (t *tickets) serve(w http.ResponseWriter, r *http.Request, pod *core.Pod) {
	switch r.Method + " " + r.URL.Path {
	case "GET /health/ready":
		t.ready(w, pod)
	case "POST /internal/cache/warm":
		t.fill(w, r)
	case "GET /internal/cache/status":
		if !t.may(w, r) {
			return
		}
		event := r.URL.Query().Get("eventId")
		t.mutex.Lock()
		fills := t.fills[event]
		t.mutex.Unlock()
		answer(w, http.StatusOK, map[string]any{"eventId": event, "warmed": fills > 0, "fills": fills})
	default:
		answer(w, http.StatusNotFound, map[string]any{"error": "there is no " + r.URL.Path + " here"})
	}
}

// ready opens the pool of the pod that is asked.
func (t *tickets) ready(w http.ResponseWriter, pod *core.Pod) {
	if pod == nil {
		answer(w, http.StatusOK, map[string]any{"status": "ready"})
		return
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == core.PodReady && condition.Status != core.ConditionTrue {
			answer(w, http.StatusServiceUnavailable, map[string]any{"status": "unready", "pod": pod.Name})
			return
		}
	}
	size := 10
	for _, variable := range pod.Spec.Containers[0].Env {
		if number, err := strconv.Atoi(variable.Value); err == nil && variable.Name == "DB_POOL_MAX" {
			size = number
		}
	}
	t.mutex.Lock()
	t.warm[string(pod.UID)] = true
	t.mutex.Unlock()
	answer(w, http.StatusOK, map[string]any{"status": "ready", "pod": pod.Name, "pool": map[string]any{"size": size, "warm": size}})
}

// fill fills the caches of an event, once for each idempotency key.
func (t *tickets) fill(w http.ResponseWriter, r *http.Request) {
	if !t.may(w, r) {
		return
	}
	var asked struct {
		EventID string `json:"eventId"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&asked); err != nil || asked.EventID == "" {
		answer(w, http.StatusBadRequest, map[string]any{"error": "eventId is needed"})
		return
	}
	key := r.Header.Get("Idempotency-Key")
	t.mutex.Lock()
	if former, known := t.answered[key]; key == "" || !known || former != asked.EventID {
		t.fills[asked.EventID]++
		t.answered[key] = asked.EventID
	}
	t.mutex.Unlock()
	answer(w, http.StatusOK, map[string]any{"warmed": 128, "eventId": asked.EventID})
}

func (t *tickets) may(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") == "Bearer "+t.token {
		return true
	}
	answer(w, http.StatusForbidden, map[string]any{"error": "this token may not do that"})
	return false
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// podServers serve each connection as the pod at its other end.
type podServers struct {
	server      *http.Server
	connections chan net.Conn
}

type podKey struct{}

type podConnection struct {
	net.Conn
	pod *core.Pod
}

func newPodServers(tickets *tickets) *podServers {
	servers := &podServers{connections: make(chan net.Conn)}
	servers.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext: func(ctx context.Context, connection net.Conn) context.Context {
			if connection, ok := connection.(*podConnection); ok {
				return context.WithValue(ctx, podKey{}, connection.pod)
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			pod, _ := r.Context().Value(podKey{}).(*core.Pod)
			// The next request may find the pod in another state.
			w.Header().Set("Connection", "close")
			tickets.serve(w, r, pod)
		}),
	}
	go func() { _ = servers.server.Serve(servers) }()
	return servers
}

func (s *podServers) serve(connection net.Conn, pod *core.Pod) {
	s.connections <- &podConnection{connection, pod}
}

// Accept is the server's: it is given each connection that the network made.
func (s *podServers) Accept() (net.Conn, error) {
	connection, open := <-s.connections
	if !open {
		return nil, errors.New("closed")
	}
	return connection, nil
}

// Close does nothing: the server lives as long as its process.
func (s *podServers) Close() error { return nil }

// Addr is no address: what is served came through the network.
func (s *podServers) Addr() net.Addr { return &net.UnixAddr{Name: "pods", Net: "unix"} }
