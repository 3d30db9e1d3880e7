# The image that slugs run on: the base, a Python with its whole standard library, nginx for static sites, and the user
# that every slug runs as. Kept lean: each deploy's image shares these layers, each new machine pulls them once.
ARG BASE
FROM ${BASE}

# python3-distutils: Debian splits it off, yet in Python 3.11 it is part of the standard library that packages import.
# tzdata, media-types, netbase: the data behind zoneinfo, mimetypes and getservbyname.
# libpq5, libmariadb3: what database drivers compiled on the build image link to.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      bash ca-certificates curl libmariadb3 libpq5 media-types netbase nginx-light procps \
      python3 python3-distutils tzdata \
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
