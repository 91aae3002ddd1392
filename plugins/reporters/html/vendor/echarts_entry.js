// What the page uses of ECharts. esbuild leaves out the rest.
import { init, use, version } from "echarts/core";
import { LineChart, LinesChart, ScatterChart } from "echarts/charts";
import { AriaComponent, DataZoomComponent, GridComponent, TooltipComponent } from "echarts/components";
import { CanvasRenderer } from "echarts/renderers";

use([
  LineChart, LinesChart, ScatterChart,
  AriaComponent, DataZoomComponent, GridComponent, TooltipComponent,
  CanvasRenderer,
]);

export { init, version };
