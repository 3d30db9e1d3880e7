# The image that slugs run on: the base, an interpreter for each language that compiles to none of its own, nginx for
# static sites and PHP, and the user that every slug runs as. Each deploy's image shares these layers, each new machine
# gets them once. One layer for all packages, because apt is what takes the time.
ARG BASE
FROM ${BASE}

# python3-distutils: Debian splits it off, yet in Python 3.11 it is part of the standard library that packages import.
# tzdata, media-types, netbase: the data behind zoneinfo, mimetypes and getservbyname.
# libpq5, libmariadb3, libyaml-0-2 and the like: what drivers and extensions compiled on the build image link to.
# systemd-standalone-tmpfiles: what PHP-FPM's package needs of systemd, without systemd. Java's package needs the folder
# for manuals, although manuals stay out. An image that is not finished needs no write to be safe from a power cut.
# The PHP extensions are those that frameworks ask for; Debian has them load by themselves.
RUN mkdir -p /usr/share/man/man1 \
 && apt-get -o Acquire::Languages=none update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
      bash ca-certificates curl libmariadb3 libpq5 media-types netbase nginx-light procps tzdata \
      default-jre-headless \
      nodejs \
      php8.2-bcmath php8.2-cli php8.2-curl php8.2-fpm php8.2-gd php8.2-intl php8.2-mbstring php8.2-mysql php8.2-opcache \
      php8.2-pgsql php8.2-sqlite3 php8.2-xml php8.2-zip systemd-standalone-tmpfiles \
      python3 python3-distutils \
      libyaml-0-2 ruby ruby-bundler \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/debconf/*-old

# The numbers are the contract, not the name: the server writes slug archives as 2000:2000.
RUN groupadd --gid 2000 slug \
 && useradd --uid 2000 --gid 2000 --home-dir /app --no-create-home --shell /bin/bash slug \
 && install -d -o 2000 -g 2000 /app

COPY --chown=0:0 slug-runner /usr/local/bin/slug-runner
RUN chmod 0755 /usr/local/bin/slug-runner

ENV HOME=/app PORT=5000 STACK=slipway-12 LANG=C.UTF-8
WORKDIR /app
EXPOSE 5000
USER 2000:2000
ENTRYPOINT ["/usr/local/bin/slug-runner"]
