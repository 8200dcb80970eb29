// The shell: rail, top bar, the page of the current place. Pages other than Home load when first
// opened.
import { lazy, Suspense, useEffect, useRef } from 'react';
import css from './app.module.css';
import { useFreshAnswers } from './live/queries';
import { useWords } from './i18n/use';
import { HomePage } from './page/home/home';
import { Boundary } from './part/boundary';
import { Empty, Loading } from './part/basic';
import { Keys } from './part/keys';
import { LostBanner } from './part/live-chip';
import { Rail } from './part/rail';
import { TopBar } from './part/top-bar';
import type { Place } from './place/place';
import { Link, usePlace } from './place/use';

const TopicsPage = lazy(() => import('./page/topics/topics'));
const TopicPage = lazy(() => import('./page/topic/topic'));
const TablesPage = lazy(() => import('./page/tables/tables'));
const TablePage = lazy(() => import('./page/table/table'));
const SqlPage = lazy(() => import('./page/sql/sql'));
const QualityPage = lazy(() => import('./page/quality/quality'));

export function App() {
  const { t } = useWords();
  const place = usePlace();
  const main = useRef<HTMLElement>(null);
  useFreshAnswers();
  const name = 'name' in place ? place.name : '';
  const title = titleOf(place, t);
  useEffect(() => {
    document.title = title;
    main.current?.scrollTo({ top: 0 });
  }, [title]);
  return (
    <div className={css['shell']}>
      <a className={css['skip']} href="#main">{t('app.skip')}</a>
      <Rail page={place.page} />
      <div className={css['right']}>
        <TopBar />
        <LostBanner />
        <main id="main" ref={main} className={css['main']} tabIndex={-1}>
          <Boundary key={`${place.page}/${name}`}>
            <Suspense fallback={<Loading />}>
              <Page place={place} />
            </Suspense>
          </Boundary>
        </main>
      </div>
      <Keys page={place.page} />
    </div>
  );
}

function Page({ place }: { readonly place: Place }) {
  const { t } = useWords();
  switch (place.page) {
    case 'home':
      return <HomePage place={place} />;
    case 'topics':
      return <TopicsPage place={place} />;
    case 'topic':
      return <TopicPage place={place} />;
    case 'tables':
      return <TablesPage place={place} />;
    case 'table':
      return <TablePage place={place} />;
    case 'sql':
      return <SqlPage place={place} />;
    case 'quality':
      return <QualityPage place={place} />;
    case 'nowhere':
      return (
        <>
          <h1 className="unseen">{t('app.notFound')}</h1>
          <Empty title={t('app.notFound')}>
            <Link to={{ page: 'home', node: null }}>{t('app.notFound.home')}</Link>
          </Empty>
        </>
      );
  }
}

function titleOf(place: Place, t: ReturnType<typeof useWords>['t']): string {
  const app = t('app.name');
  switch (place.page) {
    case 'home':
      return app;
    case 'topic':
    case 'table':
      return `${place.name} · ${app}`;
    case 'topics':
      return `${t('nav.topics')} · ${app}`;
    case 'tables':
      return `${t('nav.tables')} · ${app}`;
    case 'sql':
      return `${t('nav.sql')} · ${app}`;
    case 'quality':
      return `${t('nav.quality')} · ${app}`;
    case 'nowhere':
      return `${t('app.notFound')} · ${app}`;
  }
}
