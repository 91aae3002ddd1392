#!/usr/bin/env bash
# Builds src/tokenbench_reporter_html/vendor/echarts.min.js: the parts of Apache ECharts that the page
# uses. Needs Node.js and npm. After a new version: run the tests, and look at the page.
set -euo pipefail
ECHARTS=6.1.0
ESBUILD=0.28.2
here=$(cd "$(dirname "$0")" && pwd)
out=$here/../src/tokenbench_reporter_html/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact "echarts@$ECHARTS" "esbuild@$ESBUILD"
cp "$here/echarts_entry.js" .
npx esbuild echarts_entry.js --bundle --minify --format=iife --global-name=echarts \
  --target=es2020 --legal-comments=none --charset=ascii --outfile="$out/echarts.min.js"
tslib_folder=node_modules/tslib
test -d "$tslib_folder" || tslib_folder=node_modules/echarts/node_modules/tslib
version_of() { node -p "JSON.parse(require('fs').readFileSync('$1/package.json')).version"; }
zrender=$(version_of node_modules/zrender)
tslib=$(version_of "$tslib_folder")
{ echo "Apache ECharts $ECHARTS (Apache-2.0)"; echo
  cat node_modules/echarts/NOTICE; echo; cat node_modules/echarts/LICENSE
  echo; echo "zrender $zrender (BSD-3-Clause)"; echo; cat node_modules/zrender/LICENSE
  echo; echo "tslib $tslib (0BSD)"; echo
  cat "$tslib_folder/LICENSE.txt"
} > "$out/LICENSES.txt"
printf '{"echarts": "%s", "zrender": "%s", "tslib": "%s", "esbuild": "%s", "sha256": "%s"}\n' \
  "$ECHARTS" "$zrender" "$tslib" "$ESBUILD" \
  "$(sha256sum "$out/echarts.min.js" | cut -d' ' -f1)" > "$out/versions.json"
