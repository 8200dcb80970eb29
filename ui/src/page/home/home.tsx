// Home: the way of the data as it is now.
import { ApiError } from '../../api/client';
import type { Flow } from '../../api/types';
import { useInfo } from '../../live/queries';
import { useLive } from '../../live/use';
import { useWords } from '../../i18n/use';
import { CopyButton, Empty, Failure, Loading, Panel } from '../../part/basic';
import { Boundary } from '../../part/boundary';
import { useGo } from '../../place/use';
import { FlowGraph } from './flow-graph';
import css from './home.module.css';
import { NodeDrawer } from './node-drawer';
import { Tiles } from './tiles';

export function HomePage({ place }: { readonly place: { readonly page: 'home'; readonly node: string | null } }) {
  const { t } = useWords();
  const flow = useLive({ kind: 'flow' });
  const go = useGo();
  const close = () => go({ page: 'home', node: null }, { replace: true });
  const open = flow.value?.nodes.find((n) => n.id === place.node);
  return (
    <div className={css['page']}>
      <h1 className="unseen">{t('home.title')}</h1>
      {flow.error ? <Failure error={new ApiError(400, flow.error)} /> : null}
      {flow.value === null ? flow.error ? null : <Loading /> : flow.value.nodes.length === 0 ? (
        <FirstSteps />
      ) : (
        <>
          <Boundary>
            <Tiles flow={flow.value} />
          </Boundary>
          <div className={open ? css['split'] : css['whole']}>
            <Panel title={t('home.flow')} tools={<span className={css['hint']}>{t('home.flow.hint')}</span>}>
              <Boundary>
                <FlowGraph flow={flow.value} chosen={place.node} />
              </Boundary>
            </Panel>
            {open ? <NodeDrawer node={open} flow={flow.value as Flow} close={close} /> : null}
          </div>
          <Connect />
        </>
      )}
    </div>
  );
}

/** What to do with an empty node. */
function FirstSteps() {
  const { t } = useWords();
  const address = useInfo().data?.kafka[0] ?? '127.0.0.1:9092';
  return (
    <section className={css['first']}>
      <Empty title={t('home.empty.title')} text={t('home.empty.text')} />
      <ol className={css['steps']}>
        <Step text={t('home.empty.demo')} command="yeoul demo bikes" />
        <Step text={t('home.empty.apply')} command="yeoul apply pipeline.yaml" />
        <Step text={t('home.empty.kafka')} command={`echo '{"hello":"여울"}' | kcat -b ${address} -P -t hello`} />
      </ol>
    </section>
  );
}

function Step({ text, command }: { readonly text: string; readonly command: string }) {
  return (
    <li className={css['step']}>
      <p>{text}</p>
      <div className={css['command']}>
        <code>{command}</code>
        <CopyButton bare text={command} />
      </div>
    </li>
  );
}

function Connect() {
  const { t } = useWords();
  const info = useInfo().data;
  if (!info) return null;
  const address = info.kafka[0];
  return (
    <Panel title={t('home.connect')}>
      {address === undefined ? (
        <p className={css['none']}>{t('home.connect.none')}</p>
      ) : (
        <ul className={css['connect']}>
          <Step text={t('home.connect.address')} command={info.kafka.join(',')} />
          <Step text="kcat" command={`echo '{"hello":"여울"}' | kcat -b ${address} -P -t hello`} />
          <Step text="Python" command={`KafkaProducer(bootstrap_servers="${address}").send("hello", b"{}")`} />
        </ul>
      )}
    </Panel>
  );
}
