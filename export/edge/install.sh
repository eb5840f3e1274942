#!/bin/sh
# Makes the user and the folders, puts MODEL in its place and starts the service.
# As root, in the root of the repository: sh export/edge/install.sh MODEL
set -eu
install -m 644 "${1:?Name the .tflite file}" /opt/xraysr/model.tflite
getent passwd xraysr >/dev/null || useradd --system --user-group --no-create-home xraysr
install -d -o xraysr -g xraysr -m 2770 /srv/xraysr/inbox /srv/xraysr/out
install -m 644 export/edge/xraysr-watch.service export/edge/README.md /opt/xraysr/
ln -sf /opt/xraysr/xraysr-watch.service /etc/systemd/system/xraysr-watch.service
systemctl daemon-reload
systemctl enable --now xraysr-watch
