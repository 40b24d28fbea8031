# Installs arete, and makes packages of it. Cargo builds it; this puts the files where they belong.
#
#   make                    build the program
#   make install            as root; PREFIX=/usr/local, SYSCONFDIR=/etc, DESTDIR= for a tree of a package
#   make uninstall          removes what install has put there; configuration and state stay
#   make deb                a Debian package in target/deb
#   make static             a program that needs no library, with musl
#
# BIN=FILE takes a program that is built already.

PREFIX = /usr/local
SYSCONFDIR = /etc
DESTDIR =

CARGO = cargo
BUILT = target/dist/arete
BIN = $(BUILT)
MUSL = $(shell uname -m)-unknown-linux-musl
# Where the package is made.
DEBDIR = target/deb
DEB = $(DEBDIR)/arete_$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-1_$(shell dpkg --print-architecture 2>/dev/null).deb

bindir = $(PREFIX)/bin
mandir = $(PREFIX)/share/man
docdir = $(PREFIX)/share/doc/arete
unitdir = $(PREFIX)/lib/systemd/system
sysusersdir = $(PREFIX)/lib/sysusers.d
datadir = $(PREFIX)/share/arete
bashdir = $(PREFIX)/share/bash-completion/completions
fishdir = $(PREFIX)/share/fish/vendor_completions.d
# Debian's zsh looks into a directory of its own for packages.
zshdir = $(PREFIX)/share/zsh/site-functions

units = arete-controller.service arete-controller.socket arete-slave.service
pages = $(notdir $(wildcard man/*.[1-9]))
examples = $(shell cd examples && find . -type f | sed 's,^\./,,')
configuration = controller.json slave.json

.PHONY: all install uninstall deb static
all: $(BIN)

.PHONY: $(BUILT)
# What a user has built, "sudo make install" takes as it is: root need not have a toolchain.
$(BUILT):
	@if [ -n "$$SUDO_USER" ] && [ -x $@ ]; then echo 'installing $@ as it was built'; else $(CARGO) build --profile dist --locked; fi

install: $(BIN)
	install -D -m 755 $(BIN) $(DESTDIR)$(bindir)/arete
	for page in $(pages); do install -D -m 644 man/$$page $(DESTDIR)$(mandir)/man$${page##*.}/$$page || exit 1; done
	for unit in $(units); do install -d $(DESTDIR)$(unitdir) && sed 's,/usr/bin/arete,$(bindir)/arete,' systemd/$$unit >$(DESTDIR)$(unitdir)/$$unit && chmod 644 $(DESTDIR)$(unitdir)/$$unit || exit 1; done
	install -D -m 644 packaging/sysusers.conf $(DESTDIR)$(sysusersdir)/arete.conf
	install -D -m 644 share/arete-test.schema.json $(DESTDIR)$(datadir)/arete-test.schema.json
	for example in $(examples); do mode=644; if [ -x examples/$$example ]; then mode=755; fi; install -D -m $$mode examples/$$example $(DESTDIR)$(docdir)/examples/$$example || exit 1; done
	sed -i 's,"\.\./share/arete-test.schema.json","$(datadir)/arete-test.schema.json",' $(DESTDIR)$(docdir)/examples/*.json
	install -m 644 systemd/arete-slave.service.d/root.conf.example $(DESTDIR)$(docdir)/examples/root.conf.example
	install -d $(DESTDIR)$(bashdir) $(DESTDIR)$(fishdir) $(DESTDIR)$(zshdir)
	$(BIN) completions bash >$(DESTDIR)$(bashdir)/arete
	$(BIN) completions fish >$(DESTDIR)$(fishdir)/arete.fish
	$(BIN) completions zsh >$(DESTDIR)$(zshdir)/_arete
	for file in $(configuration); do test -e $(DESTDIR)$(SYSCONFDIR)/arete/$$file || install -D -m 644 packaging/etc/$$file $(DESTDIR)$(SYSCONFDIR)/arete/$$file || exit 1; done
	install -d $(DESTDIR)$(SYSCONFDIR)/arete/tls $(DESTDIR)/var/lib/arete
	@test -n "$(DESTDIR)" || echo 'installed. For the units: systemd-sysusers && systemctl daemon-reload'

uninstall:
	rm -f $(DESTDIR)$(bindir)/arete
	for page in $(pages); do rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$$page; done
	for unit in $(units); do rm -f $(DESTDIR)$(unitdir)/$$unit; done
	rm -f $(DESTDIR)$(sysusersdir)/arete.conf
	rm -f $(DESTDIR)$(bashdir)/arete $(DESTDIR)$(fishdir)/arete.fish $(DESTDIR)$(zshdir)/_arete
	rm -rf $(DESTDIR)$(docdir) $(DESTDIR)$(datadir)
	@echo 'left: $(SYSCONFDIR)/arete, /var/lib/arete and the users arete and arete-slave'

# The tree is made anew each time, so that nothing of a former one gets into the package.
deb: $(BIN)
	rm -rf $(DEBDIR)/tree
	$(MAKE) --no-print-directory install BIN=$(BIN) PREFIX=/usr SYSCONFDIR=/etc DESTDIR=$(abspath $(DEBDIR))/tree zshdir=/usr/share/zsh/vendor-completions >/dev/null
	strip --strip-unneeded --remove-section=.comment $(DEBDIR)/tree/usr/bin/arete
	packaging/deb/build $(abspath $(DEBDIR))/tree $(abspath $(DEBDIR))/tree/usr/bin/arete $(abspath $(DEB))

static:
	@libraries=$$(rustc --print target-libdir --target $(MUSL)) && ls "$$libraries"/libstd-*.rlib >/dev/null 2>&1 || { \
		echo 'make static: the Rust toolchain has no libraries for $(MUSL): "rustup target add $(MUSL)" fetches them' >&2; exit 1; }
	@command -v musl-gcc >/dev/null || { \
		echo 'make static: musl-gcc is missing, which compiles the C of the cryptography: "apt install musl-tools" brings it' >&2; exit 1; }
	CC_$(subst -,_,$(MUSL))=musl-gcc $(CARGO) build --profile dist --locked --target $(MUSL)
	@echo 'target/$(MUSL)/dist/arete'
