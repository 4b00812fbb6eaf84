package main

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// TestMan: the manual page has every command and every flag of the server.
func TestMan(t *testing.T) {
	var out, stderr bytes.Buffer
	if status := run([]string{"man"}, &out, &stderr); status != 0 {
		t.Fatal(status, stderr.String())
	}
	commands := 0
	for _, m := range commandLine.FindAllStringSubmatch(usage, -1) {
		if m[1] == "man" {
			continue
		}
		commands++
		if !strings.Contains(out.String(), "\n.SS headgate "+m[1]+"\n") {
			t.Errorf("nothing about %s", m[1])
		}
	}
	if commands < 9 {
		t.Errorf("%d commands", commands)
	}
	for _, want := range []string{`\-\-data\-dir`, "HEADGATE_DATA_DIR", ".TH HEADGATE 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("nothing of %q", want)
		}
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "'") {
			t.Errorf("%q is taken for a request", line)
		}
	}
}

// TestHelp: "headgate help X" is "headgate X --help".
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"tail"}, {"serve"}, {"bucket", "create"}, {"bench", "load"}, {"man"}} {
		var help, flag, stderr bytes.Buffer
		if status := run(append([]string{"help"}, args...), &help, &stderr); status != 0 || !strings.HasPrefix(help.String(), "usage: headgate "+strings.Join(args, " ")) {
			t.Errorf("%v: %d %s%s", args, status, help.String(), stderr.String())
		}
		if run(append(args, "--help"), &flag, &stderr); flag.String() != help.String() {
			t.Errorf("%v: help and --help differ", args)
		}
	}
	var out, stderr bytes.Buffer
	if status := run([]string{"help", "tial"}, &out, &stderr); status != 2 || !strings.Contains(stderr.String(), `"headgate tail"`) {
		t.Errorf("%d %s", status, stderr.String())
	}
	for _, args := range [][]string{{"help", "help"}, {"--help", "-h"}, {"help", "-help", "help"}} {
		var out bytes.Buffer
		if status := run(args, &out, &stderr); status != 0 || out.String() != usage {
			t.Errorf("%v: status %d, %s", args, status, out.String())
		}
	}
	if status := run([]string{"help"}, &out, &stderr); status != 0 || out.String() != usage {
		t.Errorf("%d %s", status, out.String())
	}
}

func TestVersion(t *testing.T) {
	var out, stderr bytes.Buffer
	if status := run([]string{"version", "--json"}, &out, &stderr); status != 0 {
		t.Fatal(status, stderr.String())
	}
	var b buildInfo
	if err := json.Unmarshal(out.Bytes(), &b); err != nil || b.Version != version || b.Go != runtime.Version() {
		t.Errorf("%s: %v", out.String(), err)
	}
	out.Reset()
	if status := run([]string{"version"}, &out, &stderr); status != 0 || !strings.HasPrefix(out.String(), "headgate "+version+" (commit ") {
		t.Errorf("%d %s", status, out.String())
	}
}
