package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// prompt asks somebody at a terminal for what a command line leaves out. The questions go to
// Stderr.
type prompt struct {
	c  *call
	in *bufio.Reader
}

func (c *call) prompt() *prompt { return &prompt{c, bufio.NewReader(c.Stdin)} }

// text asks until the answer is not empty.
func (p *prompt) text(ctx context.Context, question string) (string, error) {
	for {
		fmt.Fprintf(p.c.Stderr, "%s: ", question)
		line, err := p.answer(ctx, func() (string, error) { return p.in.ReadString('\n') })
		if line = strings.TrimSpace(line); line != "" || err != nil {
			return line, err
		}
	}
}

// password asks for a new password twice, on a terminal without showing it.
func (p *prompt) password(ctx context.Context, question string) (string, error) {
	for {
		first, err := p.secret(ctx, question)
		if err != nil {
			return "", err
		}
		second, err := p.secret(ctx, question+" again")
		if err != nil {
			return "", err
		}
		if first == second {
			return first, nil
		}
		fmt.Fprintln(p.c.Stderr, "The two differ.")
	}
}

// secret asks until the answer is not empty. Nothing that is typed before the question counts.
func (p *prompt) secret(ctx context.Context, question string) (string, error) {
	tty, ok := p.c.Stdin.(*os.File)
	if !ok {
		return p.text(ctx, question)
	}
	fd := int(tty.Fd())
	before, err := term.MakeRaw(fd) // before the question, or what is typed at once would show
	if err != nil {
		return "", err
	}
	// An interrupted answer is waited for no longer, and the terminal must show again what
	// is typed.
	defer term.Restore(fd, before)
	t := term.NewTerminal(readWriter{tty, p.c.Stderr}, "")
	for {
		line, err := p.answer(ctx, func() (string, error) { return t.ReadPassword(question + ": ") })
		if line != "" || err != nil {
			return line, err
		}
	}
}

type readWriter struct {
	io.Reader
	io.Writer
}

// answer reads an answer until ctx ends; the read is left behind then, as the process ends, too.
func (p *prompt) answer(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := read()
		answered <- answer{line, err}
	}()
	select {
	case a := <-answered:
		if errors.Is(a.err, io.EOF) {
			a.err = errors.New("ended before all was answered, so nothing was done")
		}
		return a.line, a.err
	case <-ctx.Done():
		fmt.Fprintln(p.c.Stderr)
		return "", context.Cause(ctx)
	}
}
