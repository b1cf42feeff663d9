// Cert-manager's three programs in one binary: `cert-manager controller | webhook | cainjector [flags]`. Upstream's mains are
// modules of their own that no proxy serves; these call the same packages. One replica each, so nobody elects a leader, and
// only issuers that need no network: a certificate authority of the cluster's own and self-signed certificates.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

var programs = map[string]func(ctx context.Context, args []string) error{
	"controller": runController,
	"webhook":    runWebhook,
	"cainjector": runCAInjector,
}

func main() {
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: cert-manager controller | webhook | cainjector [flags]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(klog.Background())
	err := programs[os.Args[1]](logf.NewContext(ctx, klog.Background(), os.Args[1]), os.Args[2:])
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(1)
	}
}

// parse takes the flags that the chart gives; those of parts that are left out, such as ACME's, it passes over.
func parse(name string, args []string, define func(*pflag.FlagSet)) error {
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.ParseErrorsWhitelist.UnknownFlags = true
	define(flags)
	return flags.Parse(args)
}
