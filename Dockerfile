# The server. It needs an engine's socket and a volume, and no privilege of its own:
#
#   docker build -t proctor/server .
#   docker run -d -p 8080:8080 -v proctor-data:/data -v /var/run/docker.sock:/var/run/docker.sock \
#     --group-add "$(stat -c %g /var/run/docker.sock)" -e VALIDATOR_HOTKEYS=… proctor/server
#
# BASE is any Debian 12: an official debian or node image, or the one that "npm run setup" bootstraps where none can be
# pulled (--build-arg BASE=proctor/base:bookworm). Behind an inspecting proxy, put the site's certificate bundle beside
# this file as extra-ca.crt: the downloads of the build trust it, and nothing of it reaches the image.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG NODE_VERSION=24.21.0
RUN export DEBIAN_FRONTEND=noninteractive \
 && if ! npm --version >/dev/null 2>&1; then \
      apt-get update && apt-get install -y --no-install-recommends ca-certificates npm; \
    fi
# The very Node that runs the server also builds it; its package holds nothing but the official binary.
WORKDIR /app
COPY package.json package-lock.json .npmrc extra-ca.crt* ./
ENV NODE_EXTRA_CA_CERTS=/app/extra-ca.crt
RUN set -eu; \
    case "$(uname -m)" in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) echo "no Node for $(uname -m)" >&2; exit 1 ;; esac; \
    npm install --prefix /node --no-save --ignore-scripts --loglevel=error "node-linux-$arch@$NODE_VERSION"; \
    install -D "/node/node_modules/node-linux-$arch/bin/node" /opt/node/bin/node
RUN npm ci --ignore-scripts --loglevel=error
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN PATH=/opt/node/bin:$PATH node node_modules/typescript/bin/tsc -p tsconfig.build.json
RUN npm ci --omit=dev --ignore-scripts --loglevel=error

FROM ${BASE}
LABEL proctor.image=server
RUN useradd --uid 10000 --home-dir /data --no-create-home --shell /usr/sbin/nologin proctor \
 && install -d -o proctor -g proctor -m 700 /data
COPY --from=build /opt/node/bin/node /usr/local/bin/node
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json README.md LICENSE ./
COPY src/setup/launch.mjs src/setup/launch.mjs
COPY images images
COPY sandbox-profiles sandbox-profiles
ENV NODE_ENV=production PORT=8080 DATA_DIR=/data/store WORKSPACE_BASE=/data/sessions
USER proctor
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/main.js"]
CMD ["serve"]
