# The image that buildpacks run in: the run image plus compilers and headers. Built on the run image so that whatever
# a buildpack links against here has the same version there.
ARG RUN
FROM ${RUN}

USER 0:0

RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      build-essential git libffi-dev libjpeg62-turbo-dev libmariadb-dev libpq-dev libssl-dev libxml2-dev libxslt1-dev \
      pkg-config python3-dev python3-pip python3-venv unzip xz-utils zlib1g-dev \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/debconf/*-old

# A fresh volume mounted on /cache takes over the owner that the directory has here.
RUN install -d -o 2000 -g 2000 /cache /env /buildpacks

COPY --chown=0:0 slug-builder /usr/local/bin/slug-builder
RUN chmod 0755 /usr/local/bin/slug-builder

USER 2000:2000
ENTRYPOINT ["/usr/local/bin/slug-builder"]
