# The image that buildpacks run in: the run image plus compilers and headers. Built on the run image so that whatever
# a buildpack links against here has the same version there.
ARG RUN
FROM ${RUN}

USER 0:0

# rustc-web and cargo-web are Debian's Rust for browsers, kept current: crates ask for a newer one than the release has.
# Go comes from Debian's backports for the same reason, and from the release itself where a mirror has no backports.
# The Maven plugins, and junit5 that one of them is described by, are for builds that take /usr/share/maven-repo, Debian's
# own repository, instead of Maven Central.
RUN printf 'Package: golang-*\nPin: release n=bookworm-backports\nPin-Priority: 600\n' > /etc/apt/preferences.d/golang \
 && apt-get -o Acquire::Languages=none update \
 && mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' | sed -n 's/^bookworm //p' | head -1) \
 && echo "deb $mirror bookworm-backports main" > /etc/apt/sources.list.d/backports.list \
 && { apt-get -o Acquire::Languages=none update \
   || { rm /etc/apt/sources.list.d/backports.list && apt-get -o Acquire::Languages=none update; } } \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
      build-essential git libffi-dev libgmp-dev libjpeg62-turbo-dev libmariadb-dev libpq-dev libsqlite3-dev libssl-dev \
      libxml2-dev libxslt1-dev libyaml-dev pkg-config unzip xz-utils zlib1g-dev \
      cargo-web rustc-web \
      composer \
      default-jdk-headless junit5 libmaven-compiler-plugin-java libmaven-jar-plugin-java libmaven-resources-plugin-java maven \
      golang-go \
      npm \
      python3-dev python3-pip python3-venv \
      ruby-dev \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/debconf/*-old

# A fresh volume mounted on /cache takes over the owner that the directory has here.
RUN install -d -o 2000 -g 2000 /cache /env /buildpacks

COPY --chown=0:0 slug-builder /usr/local/bin/slug-builder
COPY --chown=0:0 pack.sh merge-releases /usr/local/lib/slug-builder/
RUN chmod 0755 /usr/local/bin/slug-builder /usr/local/lib/slug-builder/merge-releases

USER 2000:2000
ENTRYPOINT ["/usr/local/bin/slug-builder"]
