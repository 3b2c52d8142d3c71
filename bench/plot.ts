import * as echarts from 'echarts';

/** Values of one name, one for each group; undefined where nothing was measured. */
export interface Bars { readonly name: string; readonly values: readonly (number | undefined)[] }

/** A bar chart as SVG text: a group of bars for each of `groups`. Logarithmic, since what is compared differs by more than ten times. */
export function barChart(title: string, unit: string, groups: readonly string[], bars: readonly Bars[]): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 900, height: 420 });
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: { text: title, left: 'center', textStyle: { fontSize: 15 } },
    legend: { bottom: 0 },
    grid: { left: 70, right: 20, top: 50, bottom: 70 },
    xAxis: { type: 'category', data: groups },
    yAxis: { type: 'log', name: unit },
    series: bars.map(({ name, values }) => ({ type: 'bar', name, data: values.map((value) => value ?? '-') })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
